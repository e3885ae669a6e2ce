"""Tuned tiles on disk."""

from dataclasses import replace
from pathlib import Path

import pytest

from everframe.diffusion.programs import step_program
from everframe.runtime.megakernel import tuned
from everframe.runtime.megakernel.check import check_schedule, check_shared_memory
from everframe.runtime.megakernel.lower import lower
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.schedule import schedule_tasks
from everframe.runtime.megakernel.tiles import HOPPER_SMS, Tiles
from everframe.runtime.megakernel.tuned import (
    cache_folder,
    load_tiles,
    save_tiles,
    ship_tiles,
    shipped_tiles,
    tuning_key,
)
from everframe.runtime.torch_shapes import bundle_of
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


@pytest.mark.parametrize("shape", ["A", "B", "pocket"])
def test_tiles_that_come_with_the_package_fit_and_are_free_of_races(shape: str) -> None:
    bundle, size = bundle_of(shape)
    tiles = shipped_tiles(bundle.spec, size)
    assert tiles is not None, "the spec has other fields now: run megakernel_small.py --ship again"
    plan = plan_frame(step_program(bundle.spec, *size))
    check_shared_memory(plan, tiles)
    check_schedule(schedule_tasks(lower(plan, tiles, 1), HOPPER_SMS))


def test_tiles_are_shipped_by_model_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tuned.json").write_text("{}")
    monkeypatch.setattr(tuned, "SHIPPED", tmp_path / "tuned.json")
    assert shipped_tiles(TINY, (64, 96)) is None
    tiles = replace(Tiles(), order=2, merge_rows=16)
    ship_tiles("tiny", TINY, (64, 96), tiles, 0.1)
    ship_tiles("uneven", UNEVEN, (64, 96), Tiles(), 0.2)
    assert shipped_tiles(TINY, (64, 96)) == tiles
    assert shipped_tiles(UNEVEN, (64, 96)) == Tiles()
    assert shipped_tiles(TINY, (96, 64)) is None
