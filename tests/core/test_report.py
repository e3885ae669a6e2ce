"""A report line is aligned on the console and exact in the file."""

import io
import json
from pathlib import Path

from everframe.core.report import Report, format_line


def test_lines_of_one_run_align() -> None:
    lines = [
        format_line(1, {"loss": 0.5, "frames": 12, "stage": "warm"}),
        format_line(120_000, {"loss": 1.23456e-7, "frames": 1_000_000, "stage": "cool"}),
    ]
    assert len({len(line) for line in lines}) == 1
    assert {line.index("loss") for line in lines} == {lines[0].index("loss")}
    assert "1.235e-07" in lines[1]


def test_console_and_file_carry_the_same_values(tmp_path: Path) -> None:
    console, path = io.StringIO(), tmp_path / "run" / "metrics.jsonl"
    with Report(console, path) as report:
        report.write(1, loss=1 / 3)
        report.write(2, loss=0.25, stage="prune")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[0]["loss"] == 1 / 3
    assert rows[1]["stage"] == "prune"
    assert 0 <= rows[0]["elapsed_s"] <= rows[1]["elapsed_s"]
    assert len(console.getvalue().splitlines()) == 2


def test_a_resumed_run_continues_its_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2):
        with Report(path=path) as report:
            report.write(step, loss=0.1)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
