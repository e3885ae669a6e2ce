from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from everframe.core.errors import UserError
from everframe.evaluate.classifier import (
    INPUT_PX,
    ClassifierTraining,
    LookClassifier,
    load_classifier,
    save_classifier,
    train_classifier,
    views,
)
from tests.evaluate.toy import LABELS, batches

TRAINING = ClassifierTraining(steps=60, learning_rate=4e-3)


@pytest.fixture(scope="module")
def trained() -> LookClassifier:
    return train_classifier(batches(seed=1), labels=LABELS, training=TRAINING)


def test_three_looks_are_learnt(trained: LookClassifier) -> None:
    fresh = batches(seed=2, size=16)
    right = 0
    for _ in range(3):
        camera, target, label = next(fresh)
        names = trained.name(target, camera)
        right += sum(name == LABELS[i] for name, i in zip(names, label.tolist(), strict=True))
    assert right / 48 > 0.85


def test_saving_keeps_the_judgement_and_the_labels(trained: LookClassifier, tmp_path: Path) -> None:
    path = tmp_path / "looks.safetensors"
    save_classifier(trained, path)
    loaded = load_classifier(path)
    camera, target, _ = next(batches(seed=3))
    assert loaded.labels == LABELS
    before, after = (m.probabilities(target, camera) for m in (trained, loaded))
    assert torch.allclose(before, after, atol=0.01)


def test_a_full_catalogue_stays_small(tmp_path: Path) -> None:
    model = LookClassifier([f"a_rather_long_name_{i}" for i in range(70)])
    assert sum(p.numel() for p in model.parameters()) < 350_000
    save_classifier(model, tmp_path / "looks.safetensors")
    assert (tmp_path / "looks.safetensors").stat().st_size < 600_000


def test_the_seed_decides_the_model_and_the_global_state_does_not() -> None:
    short = ClassifierTraining(steps=2)
    weights: list[torch.Tensor] = []
    for other in (0, 1):
        torch.manual_seed(other)
        model = train_classifier(batches(seed=1), labels=LABELS, training=short)
        weights.append(model.head.weight.detach())
    assert torch.equal(weights[0], weights[1])


def test_large_frames_are_seen_whole_and_in_four_corners() -> None:
    seen = views(torch.zeros(2, 6, 160, 192))
    assert [tuple(view.shape) for view in seen] == [(2, 6, INPUT_PX, INPUT_PX)] * 5
    assert len(views(torch.zeros(1, 6, 64, 64))) == 1


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--classifier"):
        load_classifier(tmp_path / "absent.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not a look classifier"):
        load_classifier(tmp_path / "other.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(UserError, match="not a safetensors file"):
        load_classifier(tmp_path / "junk.safetensors")
