"""The contact sheet: one labelled row of small pictures per look, for the eye to judge."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from everframe.evaluate.quality import Panel

PANEL_PX = 192
"""Width of a small picture; the height follows."""

LABEL_PX = 14
TITLE_PX = 120
PAPER = (255, 255, 255)
INK = (0, 0, 0)


def save_strip(panels: Sequence[Panel], path: Path, *, title: str) -> None:
    """Write one row as PNG: the title, then the pictures with their labels above."""
    height, width = panels[0].picture.shape[:2]
    size = (PANEL_PX, max(1, round(PANEL_PX * height / width)))
    strip = Image.new("RGB", (TITLE_PX + PANEL_PX * len(panels), LABEL_PX + size[1]), PAPER)
    draw = ImageDraw.Draw(strip)
    draw.multiline_text((2, LABEL_PX), title.replace("_", "\n"), fill=INK)
    for index, panel in enumerate(panels):
        left = TITLE_PX + PANEL_PX * index
        draw.text((left + 2, 1), panel.label, fill=INK)
        strip.paste(Image.fromarray(panel.picture).resize(size), (left, LABEL_PX))
    path.parent.mkdir(parents=True, exist_ok=True)
    strip.save(path)


def join_strips(strips: Sequence[Path], path: Path) -> None:
    """Write the rows below one another as one PNG; rows that are not there are left out."""
    rows = [Image.open(strip) for strip in strips if strip.is_file()]
    if not rows:
        return
    sheet = Image.new(
        "RGB", (max(row.width for row in rows), sum(row.height for row in rows)), PAPER
    )
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
