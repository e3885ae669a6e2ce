"""The drift measures, against sessions whose drift is known beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everframe.core.dims import FrameU8
from everframe.core.errors import UserError
from everframe.data.source import write_clip
from everframe.evaluate import drift, drift_run, stress
from everframe.evaluate.drift import FOLLOWED
from everframe.evaluate.drift_run import DriftModel, DriftPlan, Kind, evaluate_drift
from everframe.evaluate.quality_run import QualityRequest
from everframe.evaluate.streams import Stream, make_stream
from tests.evaluate.toy import INVERTED, LOOKS, TINTED, moving_clip


class Feedback:
    """Inverts the camera and mixes in `keep` of its own previous output; adds `creep` grey levels
    a frame, `noise` at random, and never forgets a black camera if `stuck`.
    """

    def __init__(
        self,
        *,
        keep: float = 0.0,
        creep: float = 0.0,
        noise: float = 0.0,
        stuck: bool = False,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.size = size
        self.keep, self.creep, self.noise, self.stuck = keep, creep, noise, stuck
        self.rng = np.random.default_rng(0)
        self.prompt = ""
        self.reset()

    def update(self, *, prompt: str, seed: int) -> None:
        assert seed >= 0
        self.prompt = prompt

    def reset(self) -> None:
        self.previous: FrameU8 | None = None
        self.age = 0
        self.spoilt = False

    def seed_history(self, *, output: FrameU8, camera: FrameU8) -> None:
        assert output.shape == camera.shape
        self.reset()
        self.previous = output

    def state_dict(self) -> dict[str, Any]:
        return {"previous": self.previous, "age": self.age}

    def load_state_dict(self, state: dict[str, Any], /, *, scale: bool = False) -> None:
        previous = state["previous"]
        if scale and self.size and previous is not None:
            previous = np.resize(previous, (*self.size, 3))
        self.previous, self.age = previous, state["age"]

    def step(self, frame: FrameU8) -> FrameU8:
        self.age += 1
        self.spoilt |= self.stuck and not frame.any()
        inverted = self.prompt in INVERTED.prompts
        clean = (255.0 - frame) if inverted else frame.astype(np.float64)
        fresh = clean + self.creep * self.age + 60 * self.spoilt
        fresh += self.rng.normal(0, 1, frame.shape) * self.noise
        own = fresh if self.previous is None else self.previous.astype(np.float64)
        mixed = self.keep * own + (1 - self.keep) * fresh
        self.previous = np.clip(mixed, 0, 255).round().astype(np.uint8)
        return self.previous


def stream() -> Stream:
    return make_stream(INVERTED, moving_clip("a", 1), frames=8, seed=0)


def test_a_stream_that_stays_has_no_slope() -> None:
    ticks: list[int] = []
    curve = drift.loop(Feedback(noise=4), stream(), 600, 2, ticks.append)
    assert ticks == list(range(1, 601))
    assert curve.at[:2] == (2, 4)
    assert curve.period == 16
    figures = drift.loop_figures(curve, 600)
    assert figures["psnr_early"] == pytest.approx(20 * np.log10(255 / 4), abs=0.5)
    assert abs(figures["psnr_loss"]) < 0.1
    assert figures["slope_low"] < 0 < figures["slope_high"]
    for name in drift.STATISTICS:
        assert abs(figures[f"{name}_change_percent"]) < 2


def test_a_stream_that_creeps_is_found_out() -> None:
    figures = drift.loop_figures(drift.loop(Feedback(noise=4, creep=0.02), stream(), 600, 1), 600)
    assert figures["psnr_loss"] > 1
    assert figures["slope_high"] < 0
    assert figures["luma_change_percent"] > 1


class Tint:
    """Knows its tint from the seeded frame and forgets a share of it with every frame."""

    def __init__(self, forget: float) -> None:
        self.forget, self.tint = forget, np.full(3, 128.0)

    def update(self, *, prompt: str, seed: int) -> None:
        pass

    def reset(self) -> None:
        self.tint = np.full(3, 128.0)

    def seed_history(self, *, output: FrameU8, camera: FrameU8) -> None:
        self.tint = (2.0 * output - camera).mean((0, 1))

    def step(self, frame: FrameU8) -> FrameU8:
        self.tint = self.tint + self.forget * (128 - self.tint)
        return np.clip((frame + self.tint) / 2, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize(("forget", "kept"), [(0.0, 1.0), (0.003, 0.15), (0.5, 0.0)])
def test_state_kept_finds_what_is_forgotten(forget: float, kept: float) -> None:
    tinted = make_stream(TINTED, moving_clip("a", 1), frames=8, seed=3)
    session = Tint(forget)
    found = drift.state_kept(session, tinted, drift.loop(session, tinted, 300, 1))
    if kept:
        assert found["kept@300"] == pytest.approx(kept, abs=0.03)
        assert set(found) == {"memory_gain", "kept@300"}
    else:
        assert found == {}


def test_parts_of_a_period_at_the_ends_make_no_slope() -> None:
    at = np.arange(101, 2051)
    wave = np.where(at % 200 < 100, 1.0, -1.0)  # the first and the last period are cut
    low, middle, high = drift.slope(at, 30 + wave, 200, seed=0)
    assert max(abs(low), abs(middle), abs(high)) < 1e-9


def test_the_interval_of_a_slope_covers_noise_of_the_clip() -> None:
    at = np.arange(1, 2001)
    wave = np.sin(at * 2 * np.pi / 100)  # the same in every period
    low, middle, high = drift.slope(at, 30 + wave, 100, seed=0)
    assert low <= middle <= high
    assert abs(middle) < 0.5
    low, middle, high = drift.slope(at, 30 + wave - at * 1e-4, 100, seed=0)
    assert middle == pytest.approx(-1, abs=0.5)
    assert high < 0


def test_excess_is_what_the_own_history_adds() -> None:
    decades = drift.excess(Feedback(creep=0.1), stream(), 200, samples=10)
    assert list(decades) == ["1-10", "10-100", "100-200"]
    for decade in decades.values():
        assert decade["excess"] == pytest.approx(decade["own"] - decade["taught"])
        assert decade["taught"] < 0.1  # one step after a true frame creeps by 0.1 levels
    assert decades["100-200"]["excess"] > 20 * max(decades["1-10"]["excess"], 0.01)


@pytest.mark.parametrize(("keep", "half_life"), [(0.25, 1), (0.5, 1), (0.8, 4), (0.9, 7)])
def test_contraction_finds_the_decay(keep: float, half_life: int) -> None:
    found = drift.contraction(Feedback(keep=keep), stream())
    assert set(found) == {"noise", "exposure", "frame", "checker", "black"}
    black = found["black"]
    assert black["half_life"] == pytest.approx(half_life, abs=1)
    assert black["rate"] == pytest.approx(np.log(keep), rel=0.25)
    assert all(one["rate"] < 0 for one in found.values())
    assert all(one["start"] > 5 for one in found.values())
    assert black["left_percent"] < 5
    assert all(one["beyond_percent"] <= one["left_percent"] for one in found.values())


def test_a_stream_that_never_forgets_is_found_out() -> None:
    black = drift.contraction(Feedback(keep=1.0), stream())["black"]
    assert black["half_life"] == FOLLOWED + 1
    assert black["left_percent"] == pytest.approx(100)
    assert black["beyond_percent"] == pytest.approx(100, abs=1)
    assert black["rate"] == pytest.approx(0)


def test_what_two_streams_differ_by_anyway_is_no_memory() -> None:
    black = drift.contraction(Feedback(keep=0.25, noise=2.0), stream())["black"]
    assert black["left_percent"] > 1
    assert black["beyond_percent"] < 0.5 * black["left_percent"]


def test_recovery_counts_frames() -> None:
    dark = stress.showing([np.zeros((64, 64, 3), np.uint8)] * 5)
    assert stress.recovery(Feedback(noise=2), stream(), dark)["frames"] == 0
    slow = stress.recovery(Feedback(keep=0.9, noise=2), stream(), dark)
    assert 5 < slow["frames"] < 60
    never = stress.recovery(Feedback(stuck=True, noise=2), stream(), dark)
    assert never["frames"] == 100
    assert never["lost_db"] > 3
    names = list(stress.stresses(stream(), moving_clip("b", 2).frames))
    assert names == ["black 30", "black 300", "cut", "frozen", "noise"]


def test_another_size_and_back_is_a_disturbance() -> None:
    other = Feedback(noise=2, size=(48, 48))
    scene = stress.resized(other, (48, 48), stream().camera[:4])
    assert stress.recovery(Feedback(noise=2, size=(64, 64)), stream(), scene)["frames"] == 0
    assert other.age > 4  # it went on there, not anew
    assert other.previous is not None
    assert other.previous.shape == (48, 48, 3)
    slow = stress.recovery(Feedback(keep=0.9, noise=2, size=(64, 64)), stream(), scene)
    assert slow["frames"] > 5


def test_switching_finds_what_is_left() -> None:
    prompts = ["one strange tint", "another"] * 2
    clean = stress.switching(Feedback(), stream(), prompts, gap=4)
    assert clean["first_percent"] == clean["leak_percent"] == 0
    leaky = stress.switching(Feedback(keep=0.9), stream(), prompts, gap=4)
    assert leaky["first_percent"] > 30
    assert leaky["leak_percent"] < 1
    assert stress.switching(Feedback(keep=0.999), stream(), prompts, gap=4)["leak_percent"] > 20


def test_a_still_camera_shows_flicker_and_creep() -> None:
    calm = drift.still(Feedback(), stream(), 200)
    assert calm == {"flicker_early": 0, "flicker_late": 0, "crept": 0}
    noisy = drift.still(Feedback(noise=3), stream(), 200)
    assert noisy["flicker_early"] == pytest.approx(3 * 2 / np.pi**0.5, rel=0.1)
    assert drift.still(Feedback(creep=0.1), stream(), 200)["crept"] > 10


def footage(folder: Path) -> Path:
    for name in ("a", "b"):
        write_clip(folder / f"{name}.mp4", moving_clip(name, 3, frames=12).frames)
    return folder


def run(folder: Path, out: Path, plan: DriftPlan, opened: list[str], **changes: object) -> str:
    def open_model(_request: QualityRequest, prompt: str) -> DriftModel:
        opened.append(prompt)

        def make(kind: Kind) -> Feedback:
            if kind == "fresh":
                return Feedback(noise=3)
            return Feedback(keep=0.5, size=(48, 48) if kind == "other" else (64, 64))

        return DriftModel(make=make, other_size=(48, 48), weights="abc")

    request = QualityRequest(
        model="toy", footage=folder, held_out=("a",), looks=("inverted", "tinted"), out=out,
        height=64, width=64, **changes,  # type: ignore[arg-type]
    )  # fmt: skip
    return evaluate_drift(request, plan, open_model, catalogue=LOOKS)


def test_a_report_has_every_test_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out, opened = footage(tmp_path), tmp_path / "out", list[str]()
    plan = DriftPlan(frames=120, still_frames=100)
    table = run(folder, out, plan, opened)
    report = json.loads((out / "drift.json").read_text())
    done = [(row["test"], row["look"]) for row in report["rows"]]
    both = {(test, look) for test in drift_run.TESTS for look in ("inverted", "tinted")}
    assert set(done) == (both | {("history", "tinted")}) - {("switch", "tinted")}
    assert report["about"]["frames"] == 120
    assert "loop" in table
    assert "inverted on a" in table
    assert (out / "drift.png").read_bytes()[:4] == b"\x89PNG"

    cache = out / "drift.jsonl"
    lines = cache.read_text().splitlines()
    cache.write_text("\n".join(lines[:-2]) + "\n" + lines[-2][:40])  # a crash in the last but one

    played: list[str] = []
    real = drift_run._measure

    def counted(test: str, *rest: Any) -> dict[str, Any]:
        played.append(test)
        return real(test, *rest)

    monkeypatch.setattr(drift_run, "_measure", counted)
    run(folder, out, plan, opened)
    assert len(played) == 2
    again = json.loads((out / "drift.json").read_text())["rows"]
    assert [(row["test"], row["look"]) for row in again] == done
    with pytest.raises(UserError, match="another model or other options"):
        run(folder, out, DriftPlan(frames=130, still_frames=100), opened)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (DriftPlan(tests=("loop", "nonsense")), "no test named nonsense; there are loop, fresh"),
        (DriftPlan(frames=20), "at least 100"),
    ],
)
def test_bad_requests_say_what_is_wrong(tmp_path: Path, plan: DriftPlan, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(footage(tmp_path), tmp_path / "out", plan, [])
    assert not (tmp_path / "out").exists()
