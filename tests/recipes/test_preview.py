"""`everframe data preview`: the sheet shows what the mixture draws, under its prompts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from everframe.cli.main import main
from everframe.core.errors import UserError
from everframe.data.catalogue import Catalogue
from everframe.data.source import write_clip
from everframe.recipes import preview
from everframe.recipes.preview import COLUMNS, PreviewRequest, compose, draw_rows

SIZE = (32, 32)
CATALOGUE = Catalogue()


@pytest.fixture
def footage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One clip without a mask; everything is drawn small."""
    monkeypatch.setattr(preview, "SIZE", SIZE)
    picture = np.random.default_rng(0).integers(40, 210, (4, 6, 3)).repeat(16, 0).repeat(16, 1)
    frames = np.stack([np.roll(picture, t, 1) for t in range(12)]).astype(np.uint8)
    write_clip(tmp_path / "a.mp4", frames)
    return tmp_path


def add_mask(footage: Path) -> None:
    mask = np.zeros((12, 64, 96, 3), np.uint8)
    mask[:, 16:, 32:64] = 255
    (footage / "masks").mkdir()
    write_clip(footage / "masks" / "a.mask.mp4", mask)


def wordings(look: str) -> tuple[str, ...]:
    return CATALOGUE.prompts(CATALOGUE.names.index(look))


def test_chosen_looks_share_the_rows_and_carry_their_prompts(footage: Path) -> None:
    rows = draw_rows(PreviewRequest(footage=footage, looks=("pencil", "identity"), rows=4))
    assert [row.look for row in rows] == ["pencil", "pencil", "identity", "identity"]
    for row in rows:
        assert any(text in row.prompt for text in wordings(row.look))
        assert [picture.shape for picture in row.pictures] == [(*SIZE, 3)] * len(COLUMNS)
        camera, target, later = row.pictures[:3]
        assert np.array_equal(camera, target) == (row.look == "identity")
        assert not np.array_equal(camera, later)


@pytest.mark.parametrize("look", ["world_candy_land", "chrome_person"])
def test_looks_of_worlds_and_people_are_drawn_when_asked_for(footage: Path, look: str) -> None:
    add_mask(footage)
    rows = draw_rows(PreviewRequest(footage=footage, looks=(look,), rows=2))
    assert [row.look for row in rows] == [look, look]
    for row in rows:
        assert any(text in row.prompt for text in wordings(look))
        assert not np.array_equal(row.pictures[0], row.pictures[1])


def test_the_same_seed_draws_the_same_sheet(footage: Path) -> None:
    sheets = [
        compose(draw_rows(PreviewRequest(footage=footage, rows=5, seed=seed))) for seed in (1, 1, 2)
    ]
    first, again, other = (np.asarray(sheet) for sheet in sheets)
    assert np.array_equal(first, again)
    assert first.shape == other.shape
    assert not np.array_equal(first, other)


def test_what_cannot_be_drawn_is_said(footage: Path) -> None:
    with pytest.raises(UserError, match="unknown look 'pensil'; did you mean pencil"):
        draw_rows(PreviewRequest(footage=footage, looks=("pensil",)))


def test_the_verb_writes_the_sheet(
    footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "looks.png"
    words = ["data", "preview", "--footage", str(footage), "--out", str(out)]
    assert main([*words, "--looks", "pencil", "--rows", "3"]) == 0
    assert "3 streams, 1 looks" in capsys.readouterr().out
    with Image.open(out) as sheet:
        assert sheet.width == 2 * (len(COLUMNS) * SIZE[1] + preview.GAP_PX)
    assert main([*words[:-1], str(tmp_path / "looks.txt")]) == 2
    assert main(["data", "preview", "--footage", str(tmp_path / "none")]) == 2
