"""Bundles on disk: exact or int8, and every way in which a file can be wrong."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from everframe.arch.bundle import (
    LOOKS_FILE,
    SCALE_SUFFIX,
    SMALLEST_QUANTISED,
    SPEC_FILE,
    WEIGHTS_FILE,
    Bundle,
    bundled_models,
    quantise_rows,
)
from everframe.core.errors import UserError
from tests.nets import HALVES, TINY, UNEVEN, random_bundle

BUNDLE = replace(
    random_bundle(UNEVEN),
    card="# a card\n",
    looks=({"name": "pencil", "prompts": ["pencil \u00e9tude"]},),
    meta={"step": 7},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return BUNDLE.save_pretrained(tmp_path / "model", quantise=False)


def test_an_unquantised_bundle_comes_back_exactly(folder: Path) -> None:
    loaded = Bundle.from_pretrained(folder)
    assert (loaded.spec, loaded.card, loaded.looks) == (UNEVEN, BUNDLE.card, BUNDLE.looks)
    assert loaded.meta == {"step": 7}
    assert loaded.weights.keys() == BUNDLE.weights.keys()
    for name, value in BUNDLE.weights.items():
        assert loaded.weights[name].dtype == np.float32
        np.testing.assert_array_equal(loaded.weights[name], value, err_msg=name)


def test_int8_is_off_by_half_a_scale_at_most_and_small(tmp_path: Path, folder: Path) -> None:
    small = BUNDLE.save_pretrained(tmp_path / "small")
    loaded = Bundle.from_pretrained(small)
    quantised = 0
    for name, value in BUNDLE.weights.items():
        error = np.abs(loaded.weights[name] - value).reshape(len(value), -1).max(1)
        if value.ndim >= 2 and value.size >= SMALLEST_QUANTISED:
            quantised += 1
            scale = np.abs(value).reshape(len(value), -1).max(1) / 127
            assert np.all(error <= scale * 0.5001), name
            assert float(error.max()) > 0, name
        else:
            np.testing.assert_allclose(loaded.weights[name], value, rtol=1e-3, atol=1e-6)
    assert quantised >= 5
    assert (small / WEIGHTS_FILE).stat().st_size < 0.5 * (folder / WEIGHTS_FILE).stat().st_size


def test_a_channel_of_zeros_stays_zero() -> None:
    rows = np.array([[0, 0], [1, -2]], np.float32)
    codes, scale = quantise_rows(rows)
    assert codes.tolist() == [[0, 0], [64, -127]]
    assert scale.shape == (2, 1)


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="no model 'giant'") as error:
        Bundle.from_pretrained("giant")
    for name in bundled_models():
        assert name in str(error.value)


def test_a_missing_weights_file(folder: Path) -> None:
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(UserError, match="copy the bundle again"):
        Bundle.from_pretrained(folder)


@pytest.mark.parametrize("damage", [b"", b"x" * 100], ids=["empty", "rubbish"])
def test_a_damaged_weights_file(folder: Path, damage: bytes) -> None:
    (folder / WEIGHTS_FILE).write_bytes(damage)
    with pytest.raises(UserError, match="copy the bundle again"):
        Bundle.from_pretrained(folder)


def test_a_truncated_weights_file(folder: Path) -> None:
    data = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="copy the bundle again"):
        Bundle.from_pretrained(folder)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"version": "new"}', '{"version": 1, "spec": 3}']
)
def test_a_damaged_spec_file(folder: Path, text: str) -> None:
    (folder / SPEC_FILE).write_text(text)
    with pytest.raises(UserError, match=r"spec|bundle"):
        Bundle.from_pretrained(folder)


def test_a_newer_format_asks_for_an_update(folder: Path) -> None:
    header = json.loads((folder / SPEC_FILE).read_text())
    (folder / SPEC_FILE).write_text(json.dumps({**header, "version": 99}))
    with pytest.raises(UserError, match=r"format 99.*install it again"):
        Bundle.from_pretrained(folder)


def test_tensors_that_do_not_fit_the_spec(folder: Path) -> None:
    stored = load_file(folder / WEIGHTS_FILE)
    save_file({**stored, "embed.camera": stored["embed.camera"][1:]}, folder / WEIGHTS_FILE)
    with pytest.raises(UserError, match=r"embed\.camera.*do not belong together"):
        Bundle.from_pretrained(folder)
    del stored["embed.camera"]
    save_file(stored, folder / WEIGHTS_FILE)
    with pytest.raises(UserError, match=r"embed\.camera' is missing; copy the bundle again"):
        Bundle.from_pretrained(folder)


def test_scales_that_do_not_fit_their_tensor(tmp_path: Path) -> None:
    folder = BUNDLE.save_pretrained(tmp_path / "small")
    stored = load_file(folder / WEIGHTS_FILE)
    name = next(name for name in stored if name.endswith(SCALE_SUFFIX))
    save_file({**stored, name: np.ascontiguousarray(stored[name].T)}, folder / WEIGHTS_FILE)
    with pytest.raises(UserError, match=rf"{name}.*do not belong together"):
        Bundle.from_pretrained(folder)


@pytest.mark.parametrize("text", ["{", "[1]", '[{"name": 1, "prompts": []}]', '{"a": 1}'])
def test_a_damaged_list_of_looks(folder: Path, text: str) -> None:
    (folder / LOOKS_FILE).write_text(text)
    with pytest.raises(UserError, match=r"looks\.json is no list of looks"):
        Bundle.from_pretrained(folder)


def test_the_shipped_models_load() -> None:
    for name in bundled_models():
        bundle = Bundle.from_pretrained(name)
        assert all(np.isfinite(w).all() for w in bundle.weights.values()), name


def test_only_bundles_with_missing_halves_need_the_newest_reader(tmp_path: Path) -> None:
    for spec, version in ((TINY, 2), (HALVES, 3)):
        bundle = random_bundle(spec)
        folder = bundle.save_pretrained(tmp_path / str(version), quantise=False)
        assert json.loads((folder / SPEC_FILE).read_text())["version"] == version
        again = Bundle.from_pretrained(folder)
        assert again.spec == spec
        for name, value in bundle.weights.items():
            np.testing.assert_array_equal(again.weights[name], value)


def test_a_bundle_of_format_1_is_read_with_no_absolute_positions(tmp_path: Path) -> None:
    folder = BUNDLE.save_pretrained(tmp_path / "old", quantise=False)
    header = json.loads((folder / SPEC_FILE).read_text())
    (folder / SPEC_FILE).write_text(json.dumps({**header, "version": 1}))
    stored = load_file(folder / WEIGHTS_FILE)
    full = stored["embed.position"]
    save_file({**stored, "embed.position": full[:, :20].copy()}, folder / WEIGHTS_FILE)
    position = Bundle.from_pretrained(folder).weights["embed.position"]
    assert position.shape == full.shape
    assert not position[:, 20:].any()
    np.testing.assert_array_equal(position[:, :20], full[:, :20].astype(np.float32))
