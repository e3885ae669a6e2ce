import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from everframe.core.errors import UserError
from everframe.data.source import write_clip
from everframe.evaluate.metrics import PSNR_LIMIT_DB
from everframe.evaluate.quality import FAST
from everframe.evaluate.quality_run import (
    INSTRUMENTS,
    RESULT_FILE,
    OpenedModel,
    QualityRequest,
    choose_looks,
    choose_options,
    evaluate_quality,
    load_clips,
    load_judges,
)
from tests.evaluate.toy import LOOKS, Oracle, moving_clip


@pytest.fixture
def request_(tmp_path: Path) -> QualityRequest:
    footage = tmp_path / "footage"
    footage.mkdir()
    for seed, name in enumerate(("held", "one", "two")):
        write_clip(footage / f"{name}.mp4", moving_clip(name, seed=seed).frames)
    return QualityRequest(
        model="toy",
        footage=footage,
        held_out=("held",),
        out=tmp_path / "out",
        height=64,
        width=64,
        frames=6,
        fast=True,
        without=INSTRUMENTS,
    )


def open_oracle(request: QualityRequest, prompt: str) -> OpenedModel:
    assert request.model == "toy"
    assert prompt in LOOKS[0].prompts
    return OpenedModel(session=Oracle(), weights="a")


def test_a_request_becomes_files(request_: QualityRequest) -> None:
    table = evaluate_quality(request_, open_oracle, catalogue=LOOKS)
    assert table.splitlines()[-1].startswith("[all]")
    report = json.loads((request_.out / RESULT_FILE).read_text(encoding="utf-8"))
    assert report["overall"]["output.psnr"] == PSNR_LIMIT_DB
    assert report["about"]["model"] == "toy"
    assert report["about"].keys() >= {"command", "commit", "hardware", "torch", "date"}
    assert Image.open(request_.out / "sheet_held.png").height > 2 * 64
    assert evaluate_quality(request_, open_oracle, catalogue=LOOKS) == table


def test_a_look_subset_resumes_the_same_cache(request_: QualityRequest) -> None:
    tinted = OpenedModel(session=Oracle(), weights="a")
    evaluate_quality(replace(request_, looks=("tinted",)), lambda _r, _p: tinted, catalogue=LOOKS)
    evaluate_quality(request_, open_oracle, catalogue=LOOKS)
    report = json.loads((request_.out / RESULT_FILE).read_text(encoding="utf-8"))
    assert set(report["looks"]) == {"inverted", "tinted"}


def test_other_weights_of_the_same_name_do_not_continue_a_cache(request_: QualityRequest) -> None:
    evaluate_quality(request_, open_oracle, catalogue=LOOKS)
    other = OpenedModel(session=Oracle(), weights="b")
    with pytest.raises(UserError, match="another model"):
        evaluate_quality(request_, lambda _r, _p: other, catalogue=LOOKS)


def test_clips_are_held_out_or_fitted_to(request_: QualityRequest) -> None:
    held_out, fit = load_clips(request_, 5)
    assert [clip.name for clip in held_out] == ["held"]
    assert [clip.name for clip in fit] == ["one", "two"]
    assert held_out[0].frames.shape == (5, 64, 64, 3)


def test_options_follow_the_request(request_: QualityRequest) -> None:
    assert choose_options(request_) == replace(FAST, frames=6)
    full = choose_options(replace(request_, fast=False, frames=None, seed=3))
    assert (full.frames, full.seed) == (300, 3)
    with pytest.raises(UserError, match="at least 2 frames"):
        choose_options(replace(request_, frames=1))


def test_bad_requests_say_what_there_is(request_: QualityRequest) -> None:
    with pytest.raises(UserError, match="for example tinted"):
        choose_looks(LOOKS, ["tintd"])
    with pytest.raises(UserError, match="one, two"):
        load_clips(replace(request_, held_out=("absent",)), 5)
    with pytest.raises(UserError, match="every clip is held out"):
        load_clips(replace(request_, held_out=("held", "one", "two")), 5)
    with pytest.raises(UserError, match="--without speed"):
        load_judges(replace(request_, without=("speed",)))
    absent = replace(request_, without=("perceptual", "warp"), classifier=Path("absent"))
    with pytest.raises(UserError, match="--classifier FILE"):
        load_judges(absent)
