"""`benchmarks.compression_all`: what waits for what, what is tried again, what is left."""

import json
import sys
import threading
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import compression_all
from benchmarks.compression import RUNS
from benchmarks.compression_all import ORDER, TEACHER, Job, Pool, jobs, main


def job(name: str, code: str, made: Path, *needs: Path) -> Job:
    return Job(name=name, command=(sys.executable, "-c", code), needs=needs, made=made)


def run(*places: threading.Thread) -> None:
    for place in places:
        place.start()
    for place in places:
        place.join(30)
    assert not any(place.is_alive() for place in places)


def test_jobs_wait_for_files_and_are_tried_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression_all, "PAUSE_S", 0.0)
    monkeypatch.setattr(compression_all, "POLL_S", 0.02)
    net, done, once, never = (tmp_path / name for name in ("net", "done", "once", "never"))
    copy = (
        f"from pathlib import Path; Path({str(done)!r}).write_text(Path({str(net)!r}).read_text())"
    )
    second = (
        f"from pathlib import Path; p = Path({str(once)!r}); there = p.exists(); p.touch(); "
        "raise SystemExit(0 if there else 3)"
    )
    waiting = [
        job("after", copy, done, net),
        job("hopeless", "pass", never, never),
        job("second try", second, once),
        job("fails", "raise SystemExit(1)", never),
        job("makes", f"import time; time.sleep(0.2); open({str(net)!r}, 'w').write('7')", net),
    ]
    pool = Pool(waiting=waiting, out=tmp_path)
    run(*(threading.Thread(target=pool.work, args=(gpu, None)) for gpu in (0, 1)))
    assert done.read_text() == "7"
    assert pool.failed == ["fails"]
    assert [one.name for one in pool.waiting] == ["hopeless"]
    assert (tmp_path / "log_second try.txt").exists()


def test_a_place_waits_for_the_teacher_unless_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression_all, "POLL_S", 0.02)
    pool = Pool(waiting=[job("one", "pass", tmp_path / "one")], out=tmp_path)
    place = threading.Thread(target=pool.work, args=(0, tmp_path / "teacher"))
    place.start()
    place.join(0.2)
    assert place.is_alive()
    pool.failed.append(TEACHER)
    place.join(30)
    assert not place.is_alive()
    assert pool.waiting == []


def arguments(out: Path) -> Namespace:
    return Namespace(
        runs=",".join(ORDER), out=out, teacher_seconds=540.0, teacher_set=["streams=24"],
        source="pocket", cost=Path("cost.json"), budget_ms=15.0, steps=800, recover=60,
        candidates=3, clips=32, frames=300, footage=Path("examples/footage"),
    )  # fmt: skip


def test_every_run_is_planned_and_what_is_done_is_left_out(tmp_path: Path) -> None:
    assert set(ORDER) == set(RUNS)
    planned = {one.name: one for one in jobs(arguments(tmp_path), ["streams=16"])}
    assert set(planned) == {TEACHER, *RUNS}
    teacher = tmp_path / TEACHER / "bundle" / "spec.json"
    assert planned["distilled"].needs == (teacher, tmp_path / "taylor" / "net" / "spec.json")
    assert planned["taylor"].needs == planned["source-on"].needs == ()
    assert "streams=24" in planned[TEACHER].command
    assert planned["taylor"].command[-1] == "streams=16"
    (tmp_path / "taylor").mkdir()
    (tmp_path / "taylor" / "result.json").write_text(json.dumps({}))
    assert "taylor" not in {one.name for one in jobs(arguments(tmp_path), [])}


def test_no_teacher_is_trained_where_no_run_needs_one(tmp_path: Path) -> None:
    few = arguments(tmp_path)
    few.runs = "taylor,distilled-studio,source"
    assert [one.name for one in jobs(few, [])] == few.runs.split(",")


def test_bad_arguments_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--cost", "cost.json", "--budget-ms", "20", "--out", str(tmp_path)]
    with pytest.raises(SystemExit, match="no run named 'tailor'; there are taylor"):
        main([*common, "--runs", "tailor"])
    with pytest.raises(SystemExit):
        main([*common, "--nonsense"])
    assert "unrecognized arguments: --nonsense" in capsys.readouterr().err
