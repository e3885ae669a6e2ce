"""The measuring loop: rows, ratios and what is left out."""

from pathlib import Path

import numpy as np

from everframe.arch.bundle import Bundle
from everframe.runtime.bench import measure, moving_frame, opener, record, table

SIZE = 64


def test_frames_move_and_repeat_exactly() -> None:
    first, again, later = (moving_frame(n, SIZE, SIZE) for n in (0, 0, 5))
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - later.astype(int)).mean() > 5


def test_rows_and_record(tiny_model: Path) -> None:
    open_named = opener(Bundle.from_pretrained(tiny_model), height=SIZE, width=SIZE)
    result = measure(open_named, ("openvino", "torch"), frames=6)
    assert [row.engine for row in result.rows] == ["openvino", "torch"]
    for row in result.rows:
        assert row.frames == 6
        assert 0 < row.ms_p50 <= row.ms_p95 <= row.ms_p99
    assert next(row for row in result.rows if row.engine == "torch").speed == 1.0
    assert "openvino" in table(result)
    assert set(record(result, command="x", height=SIZE, width=SIZE)) >= {
        "command",
        "commit",
        "hardware",
        "date",
        "rows",
    }
