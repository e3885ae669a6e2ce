import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from everframe.core.dims import ArrayF32, FrameU8
from everframe.core.errors import UserError
from everframe.evaluate.classifier import ClassifierTraining, LookClassifier, train_classifier
from everframe.evaluate.metrics import PSNR_LIMIT_DB
from everframe.evaluate.quality import Judges, QualityOptions, StreamRecord, spread, window
from everframe.evaluate.report import build_report, format_table, summarise
from everframe.evaluate.sheet import join_strips
from everframe.evaluate.suite import CACHE_FILE, Plan, Progress, run_suite, strip_path
from tests.evaluate.toy import LABELS, LOOKS, Identity, Oracle, batches, moving_clip

OPTIONS = QualityOptions(
    frames=12, marks=(4, 12), sampled=3, warp_pairs=3, memory_samples=2, history_starts=2,
    static_frames=6, paraphrases=2, paraphrase_frames=2,
)  # fmt: skip
PLAN = Plan(
    looks=LOOKS,
    clips=[moving_clip("held", seed=1)],
    fit_clips=[moving_clip("fit", seed=2)],
    options=OPTIONS,
    about={"model": "toy"},
)


def shift_flow(start: FrameU8, end: FrameU8) -> ArrayF32:
    """The true motion of the toy clip: 2 px to either side."""
    gaps = [np.abs(start[:, 4:-4].astype(int) - end[:, 4 + dx : 60 + dx]).mean() for dx in (-2, 2)]
    flow = np.zeros((*start.shape[:2], 2), np.float32)
    flow[..., 0] = -2 if gaps[0] < gaps[1] else 2
    return flow


@pytest.fixture(scope="module")
def judges() -> Judges:
    training = ClassifierTraining(steps=60, learning_rate=4e-3)
    classifier = train_classifier(batches(seed=1), labels=LABELS, training=training)
    return Judges(classifier=classifier, flow=shift_flow)


@pytest.fixture(scope="module")
def oracle(judges: Judges, tmp_path_factory: pytest.TempPathFactory) -> list[StreamRecord]:
    return run_suite(Oracle(), PLAN, judges=judges, folder=tmp_path_factory.mktemp("oracle"))


def test_the_oracle_is_perfect(oracle: list[StreamRecord]) -> None:
    for record in oracle:
        assert set(record.curve) == {PSNR_LIMIT_DB}
        output = record.scores["output"]
        assert output["ssim"] == pytest.approx(1, abs=1e-5)
        assert output["blockiness"] == pytest.approx(1, abs=1e-5)
        assert output["sharpness"] == pytest.approx(1, abs=1e-5)
        assert output["top1"] == record.scores["target"]["top1"]
        assert record.warp["output"] == record.warp["target"]
        assert record.flicker == 0
    summary = summarise(oracle)
    assert summary["state_kept@12"] == pytest.approx(1, abs=0.05)
    assert summary["history_use"] > 100
    assert summary["warp_ratio"] == 1
    assert summary["output.top1"] > 0.8
    assert summary["output.psnr"] > summary["colour_map.psnr"] > summary["camera.psnr"]


def test_the_colour_map_reaches_a_colour_look_and_not_a_hidden_state(
    oracle: list[StreamRecord],
) -> None:
    inverted, tinted = oracle
    assert inverted.scores["colour_map"]["psnr"] > 45
    assert tinted.scores["colour_map"]["psnr"] < 35
    assert tinted.scores["first_frame_map"]["psnr"] > 45
    assert "first_frame_map" not in inverted.scores


def test_the_identity_scores_as_the_camera(judges: Judges, tmp_path: Path) -> None:
    records = run_suite(Identity(), PLAN, judges=judges, folder=tmp_path)
    for record in records:
        assert record.scores["output"] == pytest.approx(record.scores["camera"])
        assert record.scores["output"]["top1"] == 0
    summary = summarise(records)
    assert summary["prompts.seen"] == 0
    assert summary["history_use"] == pytest.approx(1)
    assert summary["memory_gain@4"] == pytest.approx(0, abs=0.1)
    assert "state_kept@12" not in summary  # there was nothing to keep


def test_forgetting_shows_in_state_kept(judges: Judges, tmp_path: Path) -> None:
    records = run_suite(Oracle(memory=5), PLAN, judges=judges, folder=tmp_path)
    summary = summarise([record for record in records if record.kind == "hidden"])
    assert summary["memory_gain@4"] > 10
    assert summary["state_kept@12"] == pytest.approx(0, abs=0.05)
    assert summary["psnr@4"] > summary["psnr@12"] + 10


def test_a_run_resumes_where_it_stopped(judges: Judges, tmp_path: Path) -> None:
    class Breaks(Oracle):
        def step(self, frame: FrameU8) -> FrameU8:
            if self.prompt in LOOKS[1].prompts:
                raise KeyboardInterrupt
            return super().step(frame)

    with pytest.raises(KeyboardInterrupt):
        run_suite(Breaks(), PLAN, judges=judges, folder=tmp_path)
    with (tmp_path / CACHE_FILE).open("a", encoding="utf-8") as file:
        file.write('{"look": "cut off by a cra')
    seen: list[Progress] = []
    records = run_suite(Oracle(), PLAN, judges=judges, folder=tmp_path, progress=seen.append)
    assert [(p.done, p.total, p.name) for p in seen] == [(2, 2, "tinted on held")]
    assert seen[0].seconds_left == 0
    again = run_suite(Breaks(), PLAN, judges=judges, folder=tmp_path)
    assert again == records


def test_a_cache_of_another_run_is_refused(judges: Judges, tmp_path: Path) -> None:
    plan = replace(PLAN, looks=LOOKS[:1])
    run_suite(Oracle(), plan, judges=judges, folder=tmp_path)
    with pytest.raises(UserError, match="another model"):
        run_suite(Oracle(), replace(plan, about={"model": "b"}), judges=judges, folder=tmp_path)


def test_bad_plans_are_refused(tmp_path: Path) -> None:
    knows_less = Judges(classifier=LookClassifier(["inverted"]))
    with pytest.raises(UserError, match="does not know tinted"):
        run_suite(Oracle(), PLAN, judges=knows_less, folder=tmp_path)
    with pytest.raises(UserError, match="held out and fitted"):
        run_suite(Oracle(), replace(PLAN, fit_clips=PLAN.clips), judges=Judges(), folder=tmp_path)
    with pytest.raises(UserError, match="at least one look"):
        run_suite(Oracle(), replace(PLAN, looks=()), judges=Judges(), folder=tmp_path)


def test_the_report_is_json_and_a_table(oracle: list[StreamRecord]) -> None:
    report = json.loads(json.dumps(build_report(oracle, {"model": "toy"}), allow_nan=False))
    assert set(report["looks"]) == {"inverted", "tinted"}
    assert set(report["kinds"]) == {"colour", "hidden"}
    assert report["overall"]["streams"] == len(report["streams"]) == 2
    lines = format_table(oracle).splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "inverted", "tinted", "[colour]", "[hidden]", "[all]",
    ]  # fmt: skip
    assert "state_kept@12" in lines[0]
    assert "perceptual" not in lines[0]


def test_the_contact_sheet_shows_the_true_colours(judges: Judges, tmp_path: Path) -> None:
    run_suite(Oracle(), PLAN, judges=judges, folder=tmp_path)
    strips = [strip_path(tmp_path, look.name, "held") for look in LOOKS]
    join_strips(strips, tmp_path / "sheet.png")
    sheet, first = Image.open(tmp_path / "sheet.png"), Image.open(strips[0])
    assert sheet.size == (first.width, 2 * first.height)
    # camera, target, colour map, output 4, output 12: camera + inverse = white
    pixels = np.asarray(first).astype(int)[14:]
    camera, target = pixels[:, 120:312], pixels[:, 312:504]
    assert np.abs(camera + target - 255).mean() < 2


def test_windows_and_samples() -> None:
    assert list(window(10)) == [5, 6, 7, 8, 9]
    assert (window(300).start, window(300).stop) == (270, 300)
    assert list(window(3)) == [0, 1, 2]
    assert spread(0, 10, 4) == [0, 3, 6, 9]
    assert spread(2, 4, 9) == [2, 3]
    assert QualityOptions(frames=120).reached() == (10, 100)
    assert QualityOptions(frames=6).reached() == (6,)
