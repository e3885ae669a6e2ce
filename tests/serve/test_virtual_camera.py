"""The virtual camera: what would reach the driver, and the fault where there is no device."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvirtualcam

import everframe
from everframe.core.errors import UserError
from everframe.serve.host import Limits
from everframe.serve.models import IDENTITY, Models
from everframe.serve.server import Address, Server
from everframe.serve.virtual_camera import VirtualCamera
from everframe.stream.resize import Size
from tests.serve.conftest import HEIGHT, WIDTH, camera

SIZE = Size(WIDTH, HEIGHT)


class Kept:
    """A driver for pyvirtualcam that keeps what it is sent."""

    frames: list[np.ndarray] = []  # noqa: RUF012
    opened: list[tuple[int, int]] = []  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        self.opened.append((options["width"], options["height"]))

    def send(self, frame: np.ndarray) -> None:
        self.frames.append(np.array(frame).reshape(HEIGHT, WIDTH, 3))

    def close(self) -> None:
        """Nothing to close."""

    def device(self) -> str:
        return "kept"

    def native_fourcc(self) -> int | None:
        return None


pyvirtualcam.register_backend("kept", Kept)  # pyright: ignore[reportArgumentType]


def test_other_programs_see_the_newest_picture(model: Path) -> None:
    Kept.frames.clear()
    outlet = VirtualCamera(SIZE, backend="kept")
    server = Server(Models(str(model), IDENTITY), Address(port=0), Limits(), SIZE, [outlet])
    server.start()
    sent = camera(3)

    async def play() -> None:
        async with everframe.connect(server.url, prompt="pencil sketch", codec="raw") as live:
            for _ in range(20):
                live.send(sent)
                await live.next()
                await asyncio.sleep(0.04)

    asyncio.run(play())
    server.stop()
    assert Kept.opened[-1] == (WIDTH, HEIGHT)
    assert len(Kept.frames) > 15
    assert not Kept.frames[0].any()  # black before the first session
    np.testing.assert_array_equal(Kept.frames[-1], sent)


def test_without_a_device_the_fault_says_what_to_do() -> None:
    with pytest.raises(UserError, match="modprobe v4l2loopback"):
        VirtualCamera(SIZE, device="/dev/video-that-is-not-there", backend="v4l2loopback")
