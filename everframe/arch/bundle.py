"""`Bundle`: a trained model on disk: spec.json, weights.safetensors, card.md, looks.json. Nothing
executable.

The only thing that passes from learning to live.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from everframe.arch.spec import Spec
from everframe.arch.weights import weight_table
from everframe.core.errors import UserError

Array = NDArray[np.float32]
FORMAT_VERSION = 3
"""2: absolute position features; bundles of format 1 are read as if they had learnt none. 3: blocks
without attention or without a feed-forward part, or step sizes; written only where there are.
"""
SPEC_FILE, WEIGHTS_FILE, CARD_FILE, LOOKS_FILE = (
    "spec.json",
    "weights.safetensors",
    "card.md",
    "looks.json",
)
SCALE_SUFFIX = ":scale"
INT8_LIMIT = 127
SMALLEST_QUANTISED = 4096
"""Tensors with fewer numbers stay float16: they are nothing on disk and much for quality."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A model in memory: `spec`, float32 `weights` by name, `card` (Markdown), `looks`, and free
    `meta` data.
    """

    spec: Spec
    weights: Mapping[str, Array]
    card: str = ""
    looks: tuple[dict[str, Any], ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def save_pretrained(self, folder: str | Path, *, quantise: bool = True) -> Path:
        """Write the bundle; `quantise` stores matrices as int8 with one scale per output channel.

        Returns:
            The folder.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        stored: dict[str, NDArray[Any]] = {}
        for name in weight_table(self.spec):
            array = np.ascontiguousarray(self.weights[name], np.float32)
            if not quantise:
                stored[name] = array
            elif array.ndim < 2 or array.size < SMALLEST_QUANTISED:
                stored[name] = array.astype(np.float16)
            else:
                stored[name], stored[name + SCALE_SUFFIX] = quantise_rows(array)
        save_file(stored, path / WEIGHTS_FILE)
        whole = all(block.heads and block.ffn for block in self.spec.blocks)
        version = 2 if whole and not self.spec.step_sizes else FORMAT_VERSION
        header = {"format": "everframe", "version": version, "spec": self.spec.to_dict()}
        header["meta"] = dict(self.meta)
        (path / SPEC_FILE).write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
        if self.card:
            (path / CARD_FILE).write_text(self.card, encoding="utf-8")
        if self.looks:
            lines = json.dumps(list(self.looks), indent=1, ensure_ascii=False)
            (path / LOOKS_FILE).write_text(lines + "\n", encoding="utf-8")
        return path

    @staticmethod
    def from_pretrained(name_or_path: str | Path) -> Bundle:
        """Load a bundled model by name, or a folder.

        Raises:
            UserError: unknown name, missing or damaged files, a newer format, tensors of a wrong
                shape.
        """
        path = find_bundle(name_or_path)
        header = _read_header(path)
        spec = Spec.from_dict(header["spec"])
        try:
            stored = load_file(path / WEIGHTS_FILE)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"cannot read {path / WEIGHTS_FILE}: {error}; copy the bundle again"
            ) from None
        old = header["version"] == 1
        weights = {
            name: _read_weight(path, stored, name, weight.shape, old=old)
            for name, weight in weight_table(spec).items()
        }
        card = path / CARD_FILE
        return Bundle(
            spec=spec,
            weights=weights,
            card=card.read_text(encoding="utf-8", errors="replace") if card.exists() else "",
            looks=_read_looks(path / LOOKS_FILE),
            meta=header.get("meta", {}),
        )


def quantise_rows(array: Array) -> tuple[NDArray[np.int8], Array]:
    """Symmetric int8 with one scale per output channel (first axis); error at most half a scale."""
    flat = np.abs(array).reshape(len(array), -1).max(1)
    scale = np.where(flat > 0, flat / INT8_LIMIT, 1.0).astype(np.float32)
    scale = scale.reshape(-1, *[1] * (array.ndim - 1))
    return np.round(array / scale).astype(np.int8), scale


def bundled_models() -> dict[str, Path]:
    """Models that ship with the package, by name."""
    root = Path(__file__).parents[1] / "weights"
    found = sorted(root.glob(f"*/{SPEC_FILE}")) if root.is_dir() else []
    return {path.parent.name: path.parent for path in found}


def find_bundle(name_or_path: str | Path) -> Path:
    """Folder of a model.

    Raises:
        UserError: neither a bundled name nor a bundle folder.
    """
    models = bundled_models()
    if str(name_or_path) in models:
        return models[str(name_or_path)]
    path = Path(name_or_path)
    if (path / SPEC_FILE).is_file():
        return path
    known = ", ".join(models) or "none"
    raise UserError(
        f"no model '{name_or_path}': bundled models are {known}; "
        f"or give a folder that holds {SPEC_FILE} and {WEIGHTS_FILE}"
    )


def _read_header(path: Path) -> dict[str, Any]:
    try:
        header = json.loads((path / SPEC_FILE).read_text(encoding="utf-8"))
        version, _ = int(header["version"]), dict(header["spec"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path / SPEC_FILE} is no everframe spec; copy the bundle again") from None
    if version > FORMAT_VERSION:
        raise UserError(
            f"{path} has format {version}, this everframe reads up to {FORMAT_VERSION}; "
            "get the newest everframe and install it again"
        )
    return header


def _read_weight(
    path: Path,
    stored: Mapping[str, NDArray[Any]],
    name: str,
    shape: tuple[int, ...],
    *,
    old: bool,
) -> Array:
    if name not in stored:
        raise UserError(f"{path}: tensor '{name}' is missing; copy the bundle again")
    array = stored[name].astype(np.float32)
    if old and name == "embed.position" and array.ndim == 2 and array.shape[1] < shape[1]:
        array = np.pad(array, ((0, 0), (0, shape[1] - array.shape[1])))
    _check_shape(path, name, array.shape, shape)
    scale = stored.get(name + SCALE_SUFFIX)
    if scale is None:
        return array
    _check_shape(path, name + SCALE_SUFFIX, scale.shape, (shape[0], *[1] * (len(shape) - 1)))
    return array * scale.astype(np.float32)


def _check_shape(path: Path, name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if found != wanted:
        raise UserError(
            f"{path}: tensor '{name}' has shape {found}, the spec says {wanted}; weights and spec "
            "do not belong together: copy the bundle again"
        )


def _read_looks(path: Path) -> tuple[dict[str, Any], ...]:
    if not path.exists():
        return ()
    try:
        looks = tuple(json.loads(path.read_text(encoding="utf-8")))
        if all(isinstance(look["name"], str) and list(look["prompts"]) for look in looks):
            return looks
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{path} is no list of looks; copy the bundle again")
