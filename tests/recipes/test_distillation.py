"""A distillation from bundles to a bundle that a session runs in one, two and four steps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from everframe import Session
from everframe.arch.bundle import Bundle
from everframe.core.errors import UserError
from everframe.data.mixture import MixtureConfig
from everframe.recipes.distillation import DistillConfig, run_distillation
from everframe.train.config import TrainConfig
from everframe.train.rollouts import RolloutConfig
from tests.nets import TINY, random_bundle, random_frame

WIDE = replace(TINY, width=2 * TINY.width, blocks=TINY.blocks * 2)
TRAIN = TrainConfig(
    footage="examples/footage",
    held_out=("asl_book",),
    streams=5,
    frames=2,
    size=(32, 48),
    steps=3,
    warmup=1,
    image_share=0.0,
    own_start=0.0,
    sheet_every=0,
    log_every=1,
    compile=False,
    mixture=MixtureConfig(group=1, world_share=0.0, world_camera_share=0.0),
    rollouts=RolloutConfig(share=0.5, start=0.0, streams=2, lengths=(4,)),
)


def test_bundles_in_a_bundle_out(tmp_path: Path) -> None:
    random_bundle(WIDE).save_pretrained(tmp_path / "teacher")
    random_bundle(TINY).save_pretrained(tmp_path / "student")
    names = str(tmp_path / "teacher"), str(tmp_path / "student")
    config = DistillConfig(teacher=names[0], student=names[1], train=TRAIN)
    folder = tmp_path / "run"
    assert run_distillation(config, folder)
    assert not (folder / "sheet.jpg").exists()  # none was asked for
    bundle = Bundle.from_pretrained(folder / "bundle")
    assert bundle.spec == replace(TINY, step_sizes=True)
    assert (bundle.meta["teacher"], bundle.meta["student"]) == ("teacher", "student")
    outputs: list[bytes] = []
    for steps in (1, 2, 4):
        session = Session.from_pretrained(
            folder / "bundle",
            prompt="oil painting",
            height=32,
            width=48,
            steps=steps,
            first_steps=1,
        )
        first = session.step(random_frame(1))
        assert first.shape == (32, 48, 3)
        outputs.append(np.ascontiguousarray(session.step(random_frame(2))).tobytes())
    assert len(set(outputs)) == 3


def test_faults_come_before_the_preparation(tmp_path: Path) -> None:
    random_bundle(TINY).save_pretrained(tmp_path / "student")
    random_bundle(replace(TINY, patch=32)).save_pretrained(tmp_path / "coarse")
    config = DistillConfig(
        teacher=str(tmp_path / "coarse"), student=str(tmp_path / "student"), train=TRAIN
    )
    with pytest.raises(UserError, match="patches"):
        run_distillation(config, tmp_path / "run")
    with pytest.raises(UserError, match="no model 'nothing'"):
        run_distillation(replace(config, teacher="nothing"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
