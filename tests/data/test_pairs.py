"""Own pairs: what is accepted, what is refused and why, and how they are drawn."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from everframe.core.errors import UserError
from everframe.data.pairs import PairBank, open_pairs, read_manifest, survey
from everframe.data.source import write_clip

FRAMES, HEIGHT, WIDTH = 14, 96, 128


def clip(path: Path, tone: int, *, frames: int = FRAMES, width: int = WIDTH) -> None:
    """A clip that brightens from left to right, `tone` at the left edge."""
    ramp = np.linspace(tone, 250, width).astype(np.uint8)
    pixels = np.broadcast_to(ramp[None, None, :, None], (frames, HEIGHT, width, 3))
    write_clip(path, np.ascontiguousarray(pixels))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One good pair: the target is darker at the left."""
    clip(tmp_path / "one.source.mp4", 120)
    clip(tmp_path / "one.target.mp4", 20)
    (tmp_path / "one.txt").write_text("dark at the left\n", encoding="utf-8")
    return tmp_path


def test_a_folder_gives_its_pairs(folder: Path) -> None:
    found = survey(folder)
    assert not found.errors
    assert [pair.prompt for pair in found.pairs] == ["dark at the left"]


def test_drawn_source_and_target_belong_together(folder: Path) -> None:
    bank = PairBank(open_pairs(folder), torch.device("cpu"))
    source, target, prompts = bank.draw(3, 4, (64, 64), np.random.default_rng(0))
    assert source.shape == target.shape == (3, 6, 3, 64, 64)
    assert list(prompts) == [0, 0, 0]
    assert float((source - target).min()) > -0.03  # nowhere is the source darker
    assert float((source - target).max()) > 0.05


def test_a_manifest_names_the_line_of_its_fault(folder: Path) -> None:
    manifest = folder / "pairs.jsonl"
    good = {"source": "one.source.mp4", "target": "one.target.mp4", "prompt": "x"}
    manifest.write_text(json.dumps(good) + "\n{broken\n", encoding="utf-8")
    with pytest.raises(UserError, match="2"):
        read_manifest(manifest)


def blank_prompt(folder: Path) -> None:
    (folder / "one.txt").write_text(" ", encoding="utf-8")


def long_prompt(folder: Path) -> None:
    (folder / "one.txt").write_text("x" * 301, encoding="utf-8")


def no_video(folder: Path) -> None:
    (folder / "one.target.mp4").write_text("no video", encoding="utf-8")


def other_size(folder: Path) -> None:
    clip(folder / "one.target.mp4", 20, width=64)


def too_short(folder: Path) -> None:
    clip(folder / "one.target.mp4", 20, frames=9)


def no_target(folder: Path) -> None:
    (folder / "one.target.mp4").unlink()


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (blank_prompt, "prompt"),
        (long_prompt, "300"),
        (no_video, "one.target"),
        (other_size, "64"),
        (too_short, "9"),
        (no_target, "one"),
    ],
)
def test_faults_are_named(folder: Path, spoil: Callable[[Path], None], word: str) -> None:
    spoil(folder)
    errors = survey(folder).errors
    assert errors
    assert any(word in str(error) for error in errors)


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        open_pairs(tmp_path / "missing")
