"""How a stream opens: the look that a prompt means, and a picture to start from.

Without memory, the state of a look that carries one (the layout of a mosaic, a palette) would have
to be invented in the first frame, which a small model does badly, and the loop keeps what it has
begun with. An exemplar tells the state at once: a camera frame of some other scene with its true
result, which the model takes for its anchor (docs/model.md, section 5, "Foreign anchors") until it
has an own frame.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from safetensors import SafetensorError
from safetensors.numpy import load_file

from everframe.core.errors import UserError
from everframe.core.rng import numpy_rng

Frame = NDArray[np.uint8]

FOLDER = Path(__file__).with_name("exemplars")
LOOKS_FILE, CODES_FILE, CAMERAS_FILE = "looks.json", "codes.safetensors", "cameras.webp"
SIDE = 256
"""Height and width of a stored picture; a file holds several of them side by side."""
SHARPNESS = 16.0
"""Of the cosines in the logits of the looks."""
SIMILAR = 0.35
"""Least cosine of a prompt and the look that it is taken for. At this value 95 % of the held-out
paraphrases of looks of the whole picture find their own, 4 % another, 1 % none (0.45: 93, 4, 3);
99 % of those with an exemplar find theirs and none a wrong one; 2 % of others find any.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplar:
    """A restyled frame and the camera frame it came from, uint8 [H, W, 3]."""

    output: Frame
    camera: Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What is known of the first frame: look (empty: none is near), its kind, and an exemplar."""

    look: str = ""
    kind: Literal["colour", "plain", "hidden", ""] = ""
    exemplar: Exemplar | None = None


class Openings:
    """The looks a model was trained on, found by the meaning of a prompt."""

    def __init__(
        self,
        folder: Path,
        looks: list[dict[str, str]],
        arrays: dict[str, NDArray[np.float32]],
    ) -> None:
        """Names, kinds and twins of the looks; for each a unit vector `codes` [n, 384], and
        `weights` [n, 384] and `bias` [n] of its logit.
        """
        self._folder = folder
        self._names = [look["name"] for look in looks]
        self._kinds = {look["name"]: look["kind"] for look in looks}
        self._twins = {look["name"]: look.get("twin") or look["name"] for look in looks}
        self._codes, self._weights = arrays["codes"], arrays["weights"]
        self._bias = arrays["bias"]

    @staticmethod
    @cache
    def load(folder: Path = FOLDER) -> Openings:
        """Read a folder as `recipes.exemplars` writes it.

        Raises:
            UserError: a file is missing or damaged.
        """
        try:
            looks = json.loads((folder / LOOKS_FILE).read_text(encoding="utf-8"))
            arrays = load_file(folder / CODES_FILE)
            return Openings(folder, looks, {n: a.astype(np.float32) for n, a in arrays.items()})
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise _damaged(folder, error) from None

    def nearest(self, pooled: NDArray[np.float32]) -> str:
        """Name of the look that a text vector [384] most likely means; empty if none is near."""
        direction = pooled / max(float(np.linalg.norm(pooled)), 1e-9)
        best = int((SHARPNESS * self._weights @ direction + self._bias).argmax())
        return self._names[best] if self._codes[best] @ direction >= SIMILAR else ""

    def of(self, name: str, seed: int, height: int, width: int) -> Opening:
        """The opening of a look; `seed` chooses among the exemplars and their mirror images. A
        dress of rendered worlds opens as the look that means the same for camera footage.
        """
        kind = self._kinds.get(self._twins.get(name, ""), "")
        if not kind:
            return Opening()
        path = self._folder / f"{self._twins[name]}.webp"
        exemplar = None
        if kind == "hidden" and path.exists():
            exemplar = self._exemplar(path, seed, height, width)
        return Opening(look=name, kind=kind, exemplar=exemplar)  # type: ignore[arg-type]

    def _exemplar(self, path: Path, seed: int, height: int, width: int) -> Exemplar:
        try:
            outputs, cameras = _pictures(path), _pictures(self._folder / CAMERAS_FILE)
            choice = int(numpy_rng(seed, "exemplar").integers(2 * len(outputs)))
            pair = outputs[choice // 2], cameras[choice // 2]
        except (OSError, UnidentifiedImageError, IndexError) as error:
            raise _damaged(self._folder, error) from None
        output, camera = (cover(picture, height, width) for picture in pair)
        if choice % 2:
            output, camera = output[:, ::-1].copy(), camera[:, ::-1].copy()
        return Exemplar(output=output, camera=camera)


def cover(picture: Image.Image, height: int, width: int) -> Frame:
    """Resized to cover `height` x `width`, the middle cut out."""
    scale = max(height / picture.height, width / picture.width)
    size = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    large = picture.resize(size, Image.Resampling.BICUBIC)
    return np.array(large.crop((left, top, left + width, top + height)))


def _pictures(path: Path) -> list[Image.Image]:
    with Image.open(path) as sheet:
        rgb = sheet.convert("RGB")
    return [rgb.crop((x, 0, x + SIDE, SIDE)) for x in range(0, rgb.width, SIDE)]


def _damaged(folder: Path, error: Exception) -> UserError:
    return UserError(f"cannot read the exemplars in {folder}: {error}; install everframe again")
