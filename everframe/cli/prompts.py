"""`everframe prompts`: the looks a model was trained on, as a list or as a sheet of pictures."""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from everframe.arch.bundle import LOOKS_FILE, find_bundle
from everframe.cli.verb import Subparsers
from everframe.core.errors import UserError

EXAMPLES = """\
examples:
  everframe prompts
  everframe prompts --look neon           (all prompts of the looks whose name holds "neon")
  everframe prompts --sheet looks.png     (a picture of every look)
"""
CELL_PX = 192
"""Largest width and height of one picture on the sheet; a row is as high as its highest one."""
LABEL_PX = 26
"""Height of the label below it."""
GAP_PX = 8
COLUMNS = 6
_PROMPTS_SHOWN = 3
_PAPER, _INK = (24, 24, 28), (235, 235, 235)
_SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_THUMBNAIL_SUFFIXES = (".webp", ".png", ".jpg")


@dataclass(frozen=True, slots=True, kw_only=True)
class LookEntry:
    """A look as the bundle describes it: name, kind, example prompts, and a picture if any."""

    name: str
    kind: str
    prompts: tuple[str, ...]
    thumbnail: Path | None


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "prompts",
        help="list the looks a model knows, with example prompts",
        description="List the looks a model was trained on. Other words work too, the closer the "
        "better.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="pocket", help="name or folder (default: pocket)")
    parser.add_argument("--look", metavar="NAME", help="only looks with this in the name")
    parser.add_argument("--sheet", metavar="OUT.png", help="draw the looks as a sheet of pictures")


def run(args: argparse.Namespace) -> int:
    """Print the looks, or draw them.

    Raises:
        UserError: unknown model, no such look, or a sheet that cannot be drawn or written.
    """
    looks = read_looks(find_bundle(args.model))
    if args.look is not None:
        looks = [look for look in looks if args.look.lower() in look.name.lower()]
        if not looks:
            raise UserError(f"no look has {args.look!r} in its name; see everframe prompts")
    if args.sheet is not None:
        _save(compose_sheet(looks), Path(args.sheet).expanduser())
        print(f"{args.sheet}  {sum(look.thumbnail is not None for look in looks)} looks")
        return 0
    width = max((len(look.name) for look in looks), default=0)
    for look in looks:
        shown = look.prompts if args.look is not None else look.prompts[:_PROMPTS_SHOWN]
        print(f"{look.name:<{width}}  {' | '.join(shown)}")
    return 0


def read_looks(folder: Path) -> list[LookEntry]:
    """Read `looks.json` of a model's folder: a list of `{name, kind, prompts, thumbnail?}`.

    `thumbnail` is a path within the folder; without it, `thumbnails/<name>.webp` (or .png, .jpg).

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / LOOKS_FILE
    try:
        entries = cast(list[dict[str, object]], json.loads(path.read_text(encoding="utf-8")))
        return [_entry(folder, entry) for entry in entries]
    except FileNotFoundError as error:
        raise UserError(
            f"model {folder.name} does not say which looks it knows (no {LOOKS_FILE}); "
            "any prompt may be tried"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"cannot read {path} ({type(error).__name__}: {error}); install the model again"
        ) from error


def compose_sheet(looks: list[LookEntry]) -> Image.Image:
    """Draw the pictures of the looks with their names below, in rows of `COLUMNS`.

    Raises:
        UserError: no look has a picture, or one cannot be read.
    """
    pictured = [(look.name, look.thumbnail) for look in looks if look.thumbnail is not None]
    if not pictured:
        raise UserError("this model has no pictures of its looks; use everframe prompts alone")
    columns = min(COLUMNS, len(pictured))
    cells = [(name.replace("_", " "), _thumbnail(path)) for name, path in pictured]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [max(picture.height for _, picture in row) for row in rows]
    high = sum(heights) + len(rows) * (LABEL_PX + GAP_PX) + GAP_PX
    sheet = Image.new("RGB", (columns * (CELL_PX + GAP_PX) + GAP_PX, high), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    y = GAP_PX
    for row, height in zip(rows, heights, strict=True):
        for column, (label, picture) in enumerate(row):
            x = GAP_PX + column * (CELL_PX + GAP_PX)
            left, top = (CELL_PX - picture.width) // 2, (height - picture.height) // 2
            sheet.paste(picture, (x + left, y + top))
            centre = (x + CELL_PX / 2, y + height + LABEL_PX / 2)
            draw.text(centre, label, fill=_INK, font=font, anchor="mm")
        y += height + LABEL_PX + GAP_PX
    return sheet


def _entry(folder: Path, entry: dict[str, object]) -> LookEntry:
    name = str(entry["name"])
    given = entry.get("thumbnail")
    places = [folder / "thumbnails" / f"{name}{suffix}" for suffix in _THUMBNAIL_SUFFIXES]
    if isinstance(given, str):
        places.insert(0, folder / given)
    prompts = cast(list[object], entry["prompts"])
    return LookEntry(
        name=name,
        kind=str(entry.get("kind", "")),
        prompts=tuple(str(prompt) for prompt in prompts),
        thumbnail=next((path for path in places if path.is_file()), None),
    )


def _thumbnail(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            fitted = picture.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"cannot read the picture {path}; install the model again") from error
    fitted.thumbnail((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
    return fitted


def _save(sheet: Image.Image, path: Path) -> None:
    if path.suffix.lower() not in _SHEET_SUFFIXES:
        raise UserError(f"sheet {path} has no known suffix; use {' '.join(_SHEET_SUFFIXES)}")
    partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        sheet.save(partial)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"cannot write {path} ({error.strerror or error})") from error
