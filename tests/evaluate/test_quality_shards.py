"""`benchmarks.quality_shards`: caches of parts become one; a part that failed is told."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import quality_shards
from everframe.evaluate.suite import CACHE_FILE, STRIP_FOLDER


class Played:
    """Stands in for a process: leaves a cache with a row for each look; fails for "broken"."""

    def __init__(self, command: list[str], **_: Any) -> None:
        looks = command[command.index("--looks") + 1].split(",")
        folder = Path(command[command.index("--out") + 1])
        self.returncode = int("broken" in looks)
        (folder / STRIP_FOLDER).mkdir(parents=True, exist_ok=True)
        (folder / CACHE_FILE).write_text("\n".join(["header", *looks]) + "\n")
        for look in looks:
            (folder / STRIP_FOLDER / f"{look}__a.png").write_bytes(b"")

    def wait(self) -> int:
        return self.returncode


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, looks: str) -> tuple[int, list[list[str]]]:
    last: list[list[str]] = []

    def final(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        last.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(quality_shards.subprocess, "Popen", Played)
    monkeypatch.setattr(quality_shards.subprocess, "run", final)
    arguments = ["--shards", "2", "--folder", str(folder), "--looks", looks, "--frames", "9"]
    return quality_shards.main(arguments), last


def test_parts_become_one_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, last = run(tmp_path, monkeypatch, "pencil,quilt,thermal")
    assert code == 0
    lines = (tmp_path / "all" / CACHE_FILE).read_text().splitlines()
    assert lines[0] == "header"
    assert sorted(lines[1:]) == ["pencil", "quilt", "thermal"]
    assert len(list((tmp_path / "all" / STRIP_FOLDER).iterdir())) == 3
    assert last[0][-6:] == ["--frames", "9", "--looks", "pencil,quilt,thermal", "--out",
                            str(tmp_path / "all")]  # fmt: skip


def test_a_part_that_failed_is_told_and_nothing_is_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, last = run(tmp_path, monkeypatch, "pencil,broken")
    assert (code, last) == (1, [])
    assert "shard_1 ended with 1" in capsys.readouterr().out
    assert not (tmp_path / "all").exists()
