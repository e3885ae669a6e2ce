"""The shipped `pocket` model for 2,000 frames, as it runs live: no drift, disturbances die out."""

from __future__ import annotations

from pathlib import Path

import pytest

from everframe import Session
from everframe.data.looks.catalogue import look_by_name
from everframe.data.source import read_clip
from everframe.evaluate import drift
from everframe.evaluate.quality import QualityOptions, history_losses
from everframe.evaluate.streams import CameraClip, Stream, make_stream

CLIP = Path("examples/footage/clips/asl_book.mp4")
SIZE = (128, 160)
FRAMES = 2000


def stream(look: str) -> Stream:
    frames = read_clip(CLIP, height=SIZE[0], width=SIZE[1])[:60]
    return make_stream(look_by_name(look), CameraClip(name="asl_book", frames=frames),
                       frames=50, seed=0)  # fmt: skip


def session() -> Session:
    return Session.from_pretrained("pocket", prompt="pencil sketch", height=SIZE[0], width=SIZE[1])


@pytest.mark.parametrize("look", ["cartoon", "quilt"])
def test_two_thousand_frames_do_not_drift(look: str) -> None:
    played, live = stream(look), session()
    curve = drift.loop(live, played, FRAMES, 5)
    figures = drift.loop_figures(curve, FRAMES)
    assert figures["psnr_loss"] < 0.1
    for name in ("luma", "saturation", "sharpness", "blockiness"):
        assert abs(figures[f"{name}_change_percent"]) < 2
    if played.hidden:
        losses = history_losses(live, played, QualityOptions())
        assert losses["other"] > 1.15 * losses["true"]  # a model without memory cannot drift


def test_disturbances_die_out() -> None:
    found = drift.contraction(session(), stream("cartoon"))
    for name, one in found.items():
        assert one["rate"] < 0, name
        assert one["half_life"] <= 8, name
        assert one["left_percent"] < 3, name
