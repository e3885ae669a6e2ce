"""Tuned tiles on disk."""

from dataclasses import replace
from pathlib import Path

import pytest

from everframe.runtime.megakernel.tiles import Tiles
from everframe.runtime.megakernel.tuned import cache_folder, load_tiles, save_tiles, tuning_key
from tests.nets import TINY, UNEVEN


def test_tiles_come_back_for_the_same_model_size_gpu_and_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    key = tuning_key(TINY, (64, 96), "H100", "3.6")
    assert load_tiles(key) is None
    tiles = replace(Tiles(), attend_parts=3, warps=8)
    save_tiles(key, tiles)
    assert load_tiles(tuning_key(TINY, (64, 96), "H100", "3.6")) == tiles
    others = [(UNEVEN, (64, 96), "H100", "3.6"), (TINY, (96, 64), "H100", "3.6")]
    others += [(TINY, (64, 96), "H200", "3.6"), (TINY, (64, 96), "H100", "3.7")]
    assert [load_tiles(tuning_key(*other)) for other in others] == [None] * 4


def test_a_damaged_or_older_file_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    save_tiles("key", Tiles())
    path = cache_folder() / "key.json"
    for text in ("", "{", '{"rows": 64, "unknown": 1}', '{"rows": 65}', "3"):
        path.write_text(text)
        assert load_tiles("key") is None


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    save_tiles("key", Tiles())
    assert load_tiles("key") is None
