"""`everframe prompts`: the list and the sheet of looks."""

import argparse
import json
from pathlib import Path

import pytest
from PIL import Image

from everframe.cli import prompts
from everframe.core.errors import UserError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "thumbnails").mkdir(parents=True)
    (folder / "spec.json").write_text("{}")
    looks = [
        {"name": "neon_night", "kind": "plain", "prompts": ["neon", "night city", "glow", "club"]},
        {"name": "oil", "kind": "hidden", "prompts": ["oil paint"], "thumbnail": "own.png"},
        {"name": "bare", "kind": "colour", "prompts": ["grey"]},
    ]
    (folder / "looks.json").write_text(json.dumps(looks))
    Image.new("RGB", (64, 48), (250, 0, 250)).save(folder / "thumbnails" / "neon_night.webp")
    Image.new("RGBA", (400, 400), (0, 250, 0, 255)).save(folder / "own.png")
    return folder


def run(model: Path, *, look: str | None = None, sheet: Path | None = None) -> int:
    sheet_name = None if sheet is None else str(sheet)
    return prompts.run(argparse.Namespace(model=str(model), look=look, sheet=sheet_name))


def test_list(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "neon_night  neon | night city | glow"
    assert len(lines) == 3


def test_one_look_shows_all_its_prompts(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, look="NEON") == 0
    assert capsys.readouterr().out == "neon_night  neon | night city | glow | club\n"
    with pytest.raises(UserError, match="no look"):
        run(model, look="zebra")


def test_sheet(model: Path, tmp_path: Path) -> None:
    assert run(model, sheet=tmp_path / "sheet.png") == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 2 * prompts.CELL_PX + 3 * prompts.GAP_PX
        half, step = prompts.CELL_PX // 2 + prompts.GAP_PX, prompts.CELL_PX + prompts.GAP_PX
        first, second = sheet.getpixel((half, half)), sheet.getpixel((half + step, half))
        label = sheet.crop((0, prompts.CELL_PX + 10, sheet.width, sheet.height)).convert("L")
    assert isinstance(first, tuple)
    assert first[1] < 20 < 230 < first[0]
    assert second == (0, 250, 0)
    assert max(label.tobytes()) > 150  # something is written there
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "sheet.png"]


def test_faults(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no known suffix"):
        run(model, sheet=tmp_path / "sheet.pdf")
    with pytest.raises(UserError, match="cannot write"):
        run(model, sheet=tmp_path / "nowhere" / "sheet.png")
    with pytest.raises(UserError, match="no pictures"):
        run(model, look="bare", sheet=tmp_path / "sheet.png")
    (model / "own.png").write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot read the picture"):
        run(model, sheet=tmp_path / "sheet.png")
    for damaged in ("{", "[3]", '[{"name": "a"}]', "{}{}"):
        (model / "looks.json").write_text(damaged)
        with pytest.raises(UserError, match="cannot read"):
            run(model)
    (model / "looks.json").unlink()
    with pytest.raises(UserError, match="does not say"):
        run(model)
