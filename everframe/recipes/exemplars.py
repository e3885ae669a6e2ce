"""Make the exemplars that streams open with (`stream.opening`).

    python -m everframe.recipes.exemplars

For each look with hidden state a few results over frames of the training footage, each with another
state; and for every look the mean text vector of its training prompts and the weights that tell it
from the others.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from torch import Tensor

from everframe.core.rng import stream_seed
from everframe.data.catalogue import TWINS, Catalogue
from everframe.data.held_out import clip_path
from everframe.data.source import read_clip
from everframe.recipes.configs import pocket
from everframe.recipes.prompt_classifier import fit, mean_vectors
from everframe.stream.opening import CAMERAS_FILE, CODES_FILE, FOLDER, LOOKS_FILE, SIDE
from everframe.text.encoder import TextEncoder

SCENES = (("asl_help", 30), ("fruit-and-vegetable-detection", 60), ("asl_again", 20))
"""Clips of the training footage and the frame taken from each."""
QUALITY = 88


def write_exemplars(footage: Path, folder: Path) -> None:
    """Write pictures, names and text vectors to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    catalogue, encoder = Catalogue(), TextEncoder.load()
    frames: list[Tensor] = []
    for name, index in SCENES:
        clip = read_clip(clip_path(footage, name), height=SIDE, width=SIDE, limit=index + 1)
        frames.append(torch.from_numpy(clip[-1]).movedim(-1, 0).float() / 255)
    camera = torch.stack(frames)[:, None]
    _save(camera, folder / CAMERAS_FILE)
    for look in catalogue.flat:
        if look.kind == "hidden":
            seed = stream_seed(0, f"exemplar/{look.name}")
            state = look.draw(len(camera), SIDE, SIDE, torch.Generator().manual_seed(seed))
            _save(look.apply(camera, state), folder / f"{look.name}.webp")
    looks = [
        {"name": name, "kind": kind, "twin": TWINS.get(name.removeprefix("world_"), "")}
        if name.startswith("world_")
        else {"name": name, "kind": kind}
        for name, kind in zip(catalogue.names, catalogue.kinds, strict=True)
    ]
    lines = ",\n".join(json.dumps(look) for look in looks)
    (folder / LOOKS_FILE).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    codes = mean_vectors(catalogue, encoder)
    weights, bias = fit(catalogue, encoder, codes)
    arrays = {"codes": codes, "weights": weights, "bias": bias}
    save_file({n: a.astype(np.float16) for n, a in arrays.items()}, folder / CODES_FILE)


def _save(pictures: Tensor, path: Path) -> None:
    rows = (pictures[:, 0].clamp(0, 1) * 255).round().to(torch.uint8).movedim(1, -1).numpy()
    Image.fromarray(np.concatenate(list(rows), 1)).save(path, quality=QUALITY, method=6)


if __name__ == "__main__":
    write_exemplars(Path(pocket().footage), FOLDER)
