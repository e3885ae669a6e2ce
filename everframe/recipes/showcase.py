"""Pictures of a model as it is: thumbnails of every look, the picture and the clips of the README.

    python -m everframe.recipes.showcase MODEL_FOLDER --footage DIR --docs docs/images

Everything is made by `Session` from held-out footage and unseen worlds, never from targets.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from everframe.data.catalogue import Catalogue
from everframe.data.held_out import HeldOut, to_frames
from everframe.data.source import read_clip
from everframe.stream.session import Session

Frames = NDArray[np.uint8]
THUMBNAIL_PX = 128
THUMBNAIL_FRAMES = 8
SIDE = 256
HERO = (
    ("asl_book", "pencil sketch"),
    ("asl_book", "cartoon"),
    ("asl_book", "mosaic of small tiles"),
    ("head-pose-face-detection-female", "turn me into a hologram"),
    ("head-pose-face-detection-female", "ballpoint pen drawing"),
    ("head-pose-face-detection-female", "stained glass window"),
    ("head-pose-face-detection-female", "golden statue"),
)
CLIPS = (
    ("asl_book", "pencil sketch", "pencil"),
    ("asl_walk", "stained glass window", "stained_glass"),
    ("asl_walk", "cartoon", "cartoon"),
)


def restyled(session: Session, frames: Frames, prompt: str) -> list[Frames]:
    """A fresh stream over `frames`."""
    session.update(prompt=prompt)
    session.reset()
    return [session.step(frame) for frame in frames]


def write_thumbnails(model: Path, footage: Path, session: Session) -> None:
    """`model/thumbnails/NAME.webp` for each look: camera left, output right."""
    catalogue = Catalogue()
    held = HeldOut(footage, ("asl_book",), catalogue, torch.device("cpu"))
    folder = model / "thumbnails"
    folder.mkdir(exist_ok=True)
    person = read_clip(clip_path(footage, "asl_book"), height=SIDE, width=SIDE)[30:]
    for label, name in enumerate(catalogue.names):
        frames = person[:THUMBNAIL_FRAMES]
        if label >= catalogue.first_dress:
            frames = to_frames(held.world(label, (SIDE, SIDE), THUMBNAIL_FRAMES)[0]).numpy()
        out = restyled(session, frames, catalogue.prompts(label)[0])[-1]
        pair = np.concatenate([frames[-1], out], 1)
        picture = Image.fromarray(pair).resize((2 * THUMBNAIL_PX, THUMBNAIL_PX))
        picture.save(folder / f"{name}.webp", quality=70)


def clip_path(footage: Path, name: str) -> Path:
    """Path of a clip in a footage folder."""
    inner = footage / "clips"
    return (inner if inner.is_dir() else footage) / f"{name}.mp4"


def write_hero(path: Path, footage: Path, session: Session) -> None:
    """Two rows of four: the camera and seven prompts, labelled."""
    tiles: list[tuple[str, Frames]] = []
    clips = {
        name: read_clip(clip_path(footage, name), height=SIDE, width=SIDE)[-40:]
        for name in {name for name, _ in HERO}
    }
    tiles.append(("camera", clips["asl_book"][20]))
    for name, prompt in HERO:
        tiles.append((prompt, restyled(session, clips[name][:21], prompt)[-1]))
    sheet = Image.new("RGB", (4 * SIDE, 2 * SIDE))
    pen = ImageDraw.Draw(sheet)
    for i, (text, pixels) in enumerate(tiles):
        x, y = i % 4 * SIDE, i // 4 * SIDE
        sheet.paste(Image.fromarray(pixels), (x, y))
        box = pen.textbbox((x + 6, y + SIDE - 18), text)
        pen.rectangle((box[0] - 3, box[1] - 2, box[2] + 3, box[3] + 2), fill=(0, 0, 0))
        pen.text((x + 6, y + SIDE - 18), text, fill=(255, 255, 255))
    sheet.save(path, quality=85)


def write_clips(folder: Path, footage: Path, session: Session) -> None:
    """Animated WebP clips, camera left, output right, 15 frames a second."""
    for name, prompt, stem in CLIPS:
        frames = read_clip(clip_path(footage, name), height=SIDE, width=SIDE)[-60:]
        outs = restyled(session, frames, prompt)
        pairs = [np.concatenate([a, b], 1) for a, b in zip(frames, outs, strict=True)]
        pictures = [Image.fromarray(pair) for pair in pairs[::2]]
        pictures[0].save(
            folder / f"{stem}.webp",
            save_all=True,
            append_images=pictures[1:],
            duration=67,
            loop=0,
            quality=60,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description="Make the pictures that show a model.")
    parser.add_argument("model", type=Path, help="bundle folder")
    parser.add_argument("--footage", type=Path, required=True, help="folder with held-out clips")
    parser.add_argument("--docs", type=Path, help="where the README's pictures go")
    args = parser.parse_args(arguments)
    session = Session.from_pretrained(args.model, prompt="pencil sketch", height=SIDE, width=SIDE)
    write_thumbnails(args.model, args.footage, session)
    if args.docs:
        args.docs.mkdir(parents=True, exist_ok=True)
        write_hero(args.docs / "hero.webp", args.footage, session)
        write_clips(args.docs, args.footage, session)


if __name__ == "__main__":
    main()
