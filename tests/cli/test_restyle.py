"""`everframe restyle` on real files."""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from everframe.arch.bundle import Bundle
from everframe.arch.presets import preset
from everframe.arch.weights import weight_table
from everframe.cli import restyle
from everframe.cli.main import Parser, main
from everframe.cli.restyle import Model
from everframe.core.errors import UserError
from everframe.stream.frame import Pixels
from everframe.stream.resize import Size
from tests.stream.clips import index_of, picture, read_clip, sound_packets, write_clip

ROOT = Path(__file__).resolve().parents[2]


class Inverter:
    """A restyler that inverts colours, and fails at a frame if told so."""

    def __init__(self, *, fails_at: int = -1, error: BaseException | None = None) -> None:
        self.updates: list[tuple[int, str, int]] = []
        self._steps = 0
        self._fails_at = fails_at
        self._error = error

    def step(self, frame: Pixels) -> Pixels:
        if self._error is not None and self._steps == self._fails_at:
            raise self._error
        self._steps += 1
        return 255 - frame

    def update(self, *, prompt: str, transition: int) -> None:
        self.updates.append((self._steps, prompt, transition))


def restyle_with(restyler: Inverter, arguments: Sequence[str | Path]) -> int:
    parser = Parser(prog="everframe")
    restyle.add_parser(parser.add_subparsers())
    args = parser.parse_args(["restyle", *map(str, arguments)])

    def open_model(_args: argparse.Namespace, _prompt: str, _size: Size) -> Model:
        return Model(restyler=restyler, engine="inverter")

    return restyle.run(args, open_model=open_model)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "in.mp4", sound="aac")


def test_frames_times_and_sound(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    assert restyle_with(Inverter(), [clip, "-p", "neon", "-o", out, "--size", "64x64"]) == 0
    pictures, times = read_clip(out)
    assert times == read_clip(clip)[1]
    assert [index_of(255 - pixels) for pixels in pictures] == list(range(24))
    assert pictures[0].shape == (64, 64, 3)
    assert sound_packets(out) == sound_packets(clip)
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{out}  24 frames")
    assert "engine inverter" in shown.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_default_name_and_size(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert restyle_with(Inverter(), [clip, "-p", "Neon night", "--quiet"]) == 0
    assert read_clip(tmp_path / "in-neon-night.mp4")[0][0].shape == (224, 288, 3)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(UserError, match="--overwrite"):
        restyle_with(Inverter(), [clip, "-p", "Neon night"])
    assert restyle_with(Inverter(), [clip, "-p", "Neon night", "--overwrite"]) == 0


def test_compare_doubles_the_width(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    restyle_with(Inverter(), [clip, "-p", "a", "-o", out, "--compare", "--size", "64x64"])
    pixels = read_clip(out)[0][5]
    assert pixels.shape == (64, 128, 3)
    assert index_of(pixels[:, :64]) == index_of(255 - pixels[:, 64:]) == 5


def test_upscale_writes_the_size_of_the_source(clip: Path, tmp_path: Path) -> None:
    arguments = [clip, "-p", "a", "--upscale", "--size", "128x128", "--limit", "2"]
    restyle_with(Inverter(), [*arguments, "-o", tmp_path / "one.mp4"])
    assert read_clip(tmp_path / "one.mp4")[0][0].shape == (48, 64, 3)
    restyle_with(Inverter(), [*arguments, "-o", tmp_path / "two.mp4", "--compare"])
    assert read_clip(tmp_path / "two.mp4")[0][0].shape == (48, 128, 3)


def test_timed_prompts_limit_and_stats(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, stats, restyler = tmp_path / "out.mp4", tmp_path / "stats.json", Inverter()
    prompts = ["-p", "a", "-p", "0.25s:b", "-p", "12f:c", "-p", "50s:d", "--transition", "4"]
    arguments = [clip, *prompts, "-o", out, "--stats", stats, "--limit", "20", "--seed", "7"]
    assert restyle_with(restyler, arguments) == 0
    assert restyler.updates == [(6, "b", 4), (12, "c", 4)]
    assert "'d' at 50s was never reached" in capsys.readouterr().out
    written = json.loads(stats.read_text())
    assert written["frames"] == 20
    assert written["size"] == [288, 224]
    assert (written["engine"], written["model"], written["dropped"]) == ("inverter", "pocket", 0)
    assert (written["seed"], written["steps"], written["strength"]) == (7, 1, 1.0)
    assert [row["prompt"] for row in written["prompts"]] == ["a", "b", "c", "d"]
    assert written["fps"] > 0
    for name in ("model_ms", "total_ms"):
        assert 0 < written[name]["p50"] <= written[name]["p95"] <= written[name]["p99"]


def test_ctrl_c_keeps_a_playable_file(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    restyler = Inverter(fails_at=9, error=KeyboardInterrupt())
    assert restyle_with(restyler, [clip, "-p", "a", "-o", out]) == 130
    assert len(read_clip(out)[0]) == 9
    assert 0 < len(sound_packets(out)) < len(sound_packets(clip))
    assert "the 9 frames so far are kept" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_ctrl_c_before_the_first_frame_leaves_nothing(clip: Path, tmp_path: Path) -> None:
    restyler = Inverter(fails_at=0, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        restyle_with(restyler, [clip, "-p", "a", "-o", tmp_path / "out.mp4"])
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_fault_leaves_nothing(clip: Path, tmp_path: Path) -> None:
    restyler = Inverter(fails_at=9, error=RuntimeError("model broke"))
    with pytest.raises(RuntimeError, match="model broke"):
        restyle_with(restyler, [clip, "-p", "a", "-o", tmp_path / "out.mp4"])
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_fault_keeps_the_file_that_was_to_be_replaced(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"earlier")
    restyler = Inverter(fails_at=9, error=RuntimeError("model broke"))
    with pytest.raises(RuntimeError):
        restyle_with(restyler, [clip, "-p", "a", "-o", out, "--overwrite"])
    assert out.read_bytes() == b"earlier"


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_sigint_to_the_process(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", frames=500)
    code = (
        "import signal, sys, time\n"
        # a shell's background jobs ignore it, and so would this process of theirs
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tests.cli.test_restyle import Inverter, restyle_with\n"
        "class Slow(Inverter):\n"
        "    def step(self, frame):\n"
        "        time.sleep(0.02)\n"
        "        print('step', flush=True)\n"
        "        return super().step(frame)\n"
        "sys.exit(restyle_with(Slow(), sys.argv[1:]))"
    )
    out = tmp_path / "out.mp4"
    command = [sys.executable, "-c", code, str(clip), "-p", "a", "-o", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(10):
        assert process.stdout.readline() == "step\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    process.stdout.close()
    assert 5 <= len(read_clip(out)[0]) < 500
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_memory_stays_constant(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.cli.test_restyle import Inverter, restyle_with\n"
        "restyle_with(Inverter(), sys.argv[1:])\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    peak_kb: list[int] = []
    for frames in (200, 1_200):
        clip = write_clip(tmp_path / f"{frames}.mp4", frames=frames, sound="aac")
        command = [sys.executable, "-c", code, str(clip), "-p", "a", "--size", "64x64", "--quiet"]
        command += ["-o", str(tmp_path / f"out{frames}.mp4")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        peak_kb.append(int(done.stdout))
    assert peak_kb[1] - peak_kb[0] < 3_000  # keeping one picture each would add 9,000


def test_lines_instead_of_a_bar_off_a_terminal(
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("everframe.cli.progress.LINE_EVERY_S", 0.0)
    restyle_with(Inverter(), [clip, "-p", "a", "-o", tmp_path / "out.mp4"])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 24
    assert " of 24 frames, " in lines[-1]


def test_one_frame_has_no_rate_and_may_become_a_picture(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "first.png"
    assert restyle_with(Inverter(), [clip, "-p", "a", "--limit", "1", "-o", out]) == 0
    assert f"{out}  1 frame  engine inverter" in capsys.readouterr().out
    single = write_clip(tmp_path / "single.mp4", frames=1)
    assert restyle_with(Inverter(), [single, "-p", "a", "-o", tmp_path / "two.png"]) == 0
    with pytest.raises(UserError, match=r"add --limit 1"):
        restyle_with(Inverter(), [clip, "-p", "a", "-o", tmp_path / "three.png"])


@pytest.mark.skipif(sys.platform != "linux", reason="writes into /proc")
def test_stats_that_cannot_be_written_are_found_before_the_work(clip: Path, tmp_path: Path) -> None:
    restyler = Inverter(fails_at=0, error=AssertionError("work began"))
    for place in ("/proc/stats.json", str(tmp_path)):
        with pytest.raises(UserError, match="cannot write --stats"):
            restyle_with(restyler, [clip, "-p", "a", "-o", tmp_path / "o.mp4", "--stats", place])


def test_folder_in_folder_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for index in range(3):
        Image.fromarray(picture(index)).save(tmp_path / "in" / f"{index}.png")
    arguments = [tmp_path / "in", "-p", "a", "-o", f"{tmp_path}/out/", "--size", "64x64"]
    assert restyle_with(Inverter(), arguments) == 0
    with Image.open(tmp_path / "out" / "frame_000003.png") as image:
        assert index_of(255 - np.asarray(image)) == 2


def test_the_real_session_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, generator = preset("tiny"), np.random.default_rng(0)
    weights = {
        name: generator.standard_normal(weight.shape).astype(np.float32) * 0.02
        for name, weight in weight_table(spec).items()
    }
    folder = Bundle(spec=spec, weights=weights).save_pretrained(tmp_path / "tiny")
    clip = write_clip(tmp_path / "in.mp4", frames=4)
    out = tmp_path / "out.mp4"
    arguments = ["restyle", clip, "-p", "neon", "-p", "2f:pencil", "-o", out, "--size", "64x64"]
    started = time.perf_counter()
    assert main([*map(str, arguments), "--model", str(folder)]) == 0, capsys.readouterr().err
    assert time.perf_counter() - started < 30
    assert len(read_clip(out)[0]) == 4
