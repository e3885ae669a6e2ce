"""The benchmark of an hour must be able to see a picture of the wrong session."""

import json

import numpy as np

from benchmarks.live import tabled
from benchmarks.live_hour import SIDE, STRIP, Player, players
from everframe.serve.client import LivePicture
from everframe.serve.wire import Flags, Pixels

BROWN, GREEN = (1.0, 0.8, 0.6), (0.4, 1.0, 0.5)


def restyled(camera: Pixels, tint: tuple[float, float, float]) -> LivePicture:
    """Grey, softer, and tinted: about what the looks of the hour do."""
    grey = 40 + 0.6 * camera.mean(2, keepdims=True)
    pixels = np.clip(grey * np.array(tint), 0, 255).astype(np.uint8)
    return LivePicture(pixels=pixels, frame_id=1, age_ms=1.0, flags=Flags.NONE)


def foreign(player: Player, picture: LivePicture) -> bool:
    before = player.foreign
    player.check(picture)
    return player.foreign > before


def test_a_picture_of_another_session_is_seen() -> None:
    brown, green = players()
    own, other = brown.frames()[0], green.frames()[0]
    assert own.shape == (SIDE, SIDE, 3)
    assert not foreign(brown, restyled(own, BROWN))
    assert not foreign(green, restyled(other, GREEN))
    assert foreign(brown, restyled(other, BROWN))  # its camera, our look
    assert foreign(brown, restyled(own, GREEN))  # our camera, its look
    assert foreign(green, restyled(own, BROWN))
    blank = restyled(np.full_like(own, 90), BROWN)
    assert foreign(brown, blank)
    assert 0 < STRIP < SIDE // 4


def test_a_report_has_a_line_for_each_row() -> None:
    report = {"command": "x", "rows": {"minute 1": {"fps": [12.0, 11.9]}, "minute 2": {"late": 0}}}
    text = tabled(report)
    assert json.loads(text) == report
    assert sum("minute" in line for line in text.splitlines()) == 2
