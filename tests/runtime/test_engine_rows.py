"""Rows of GPU engines and what is made of them."""

from dataclasses import replace
from pathlib import Path

from everframe.runtime.engine_rows import (
    GpuRow,
    merged,
    ratio_lines,
    ratios,
    read_rows,
    write_rows,
)

ROW = GpuRow(
    shape="A",
    engine="megakernel",
    ms_p50=0.5,
    ms_p95=0.6,
    floor_ms=0.1,
    commit=None,
    date="2026-01-01",
)
GRAPH = replace(ROW, engine="compiled+graph", ms_p50=1.0)
STREAMS = replace(ROW, engine="megakernel, 100 live streams on 8 CTAs", ms_p50=2.0)


def test_ratios_are_those_of_the_same_shape() -> None:
    rows = [ROW, GRAPH, STREAMS, replace(GRAPH, shape="B", ms_p50=9.0)]
    (only,) = ratios(rows)
    assert (only.shape, only.compiled_graph, only.eager, only.floor_share) == ("A", 2.0, None, 0.2)
    lines = ratio_lines(rows)
    assert len(lines) == 2
    assert "2.00x" in lines[1]
    assert len({len(line) for line in lines}) <= 2


def test_new_rows_take_the_place_of_old_ones() -> None:
    more = replace(STREAMS, engine="megakernel, 160 live streams on 8 CTAs")
    faster = replace(ROW, ms_p50=0.4)
    assert merged([ROW, GRAPH, STREAMS], [faster, more]) == [faster, GRAPH, more]
    other = replace(ROW, engine="megakernel, 160 live streams on 16 CTAs")
    assert merged([STREAMS], [other]) == [STREAMS, other]


def test_rows_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "engines.json"
    assert read_rows(path) == []
    write_rows(path, [ROW, GRAPH])
    assert read_rows(path) == [ROW, GRAPH]
    assert "compiled_graph" in (tmp_path / "engines_ratios.json").read_text()
    path.write_text("{}[")
    assert read_rows(path) == []
