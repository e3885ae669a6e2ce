"""H.264 over the WebSocket: pictures come through in order, are small, and bad ones are refused."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

import everframe
from everframe.core.errors import UserError
from everframe.data.source import read_clip
from everframe.serve import h264, wire
from everframe.serve.h264 import Decoder, Encoder
from everframe.serve.models import IDENTITY, Models
from everframe.serve.wire import Codec, Flags, Pixels, WireFrame
from tests.serve.conftest import Start

WIDTH, HEIGHT = 96, 64
CLIP = Path(__file__).resolve().parents[2] / "examples/webcam.mp4"


def clip(count: int, height: int = HEIGHT, width: int = WIDTH) -> list[Pixels]:
    return list(read_clip(CLIP, height=height, width=width, limit=count))


def raw(pixels: Pixels, number: int = 1) -> WireFrame:
    height, width, _ = pixels.shape
    return WireFrame(
        codec=Codec.RAW,
        frame_id=number,
        capture_ms=1.0,
        width=width,
        height=height,
        payload=pixels.tobytes(),
    )


def error(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def test_what_is_coded_is_decoded_at_once_and_small() -> None:
    encoder, decoder = Encoder(), Decoder()
    frames = clip(30, 224, 288)
    sizes: list[int] = []
    for number, pixels in enumerate(frames):
        coded = encoder.encode(raw(pixels, number))
        assert coded.codec is Codec.H264
        assert bool(coded.flags & Flags.KEY) == (number == 0)
        sizes.append(len(coded.payload))
        back = decoder.decode(wire.unpack(coded.pack()))
        assert back.frame_id == number
        assert error(wire.decode(back), pixels) < 6
    jpeg = len(wire.as_jpeg(raw(frames[-1])).payload)
    assert np.mean(sizes[1:]) < 0.5 * jpeg


def test_a_key_frame_comes_again_and_after_a_new_size(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder()
    small, large = clip(1)[0], clip(1, 128, 160)[0]
    keys = [encoder.encode(raw(p)).flags & Flags.KEY for p in (small, small, large, large)]
    assert [bool(key) for key in keys] == [True, False, True, False]
    monkeypatch.setattr(h264, "KEY_S", 0.0)
    assert encoder.encode(raw(large)).flags & Flags.KEY


def test_bad_pictures_are_refused_and_a_key_frame_mends_it() -> None:
    encoder, decoder = Encoder(), Decoder()
    pixels = clip(1)[0]
    first, second = encoder.encode(raw(pixels)), encoder.encode(raw(pixels))
    with pytest.raises(UserError, match="key frame"):
        decoder.decode(second)
    decoder.decode(first)
    wrong = WireFrame(
        codec=Codec.H264,
        flags=Flags.KEY,
        frame_id=2,
        capture_ms=0.0,
        width=WIDTH,
        height=HEIGHT,
        payload=b"\0\0\0\1" + bytes(range(1, 99)),
    )
    with pytest.raises(UserError, match=r"H\.264 picture"):
        decoder.decode(wrong)
    decoder.decode(first)
    large = Encoder().encode(raw(np.zeros((2064, 2080, 3), np.uint8)))  # more than is made room for
    with pytest.raises(UserError, match=r"H\.264 picture"):
        Decoder().decode(large)


def test_a_stream_over_the_network_keeps_its_order(start: Start, model: Path) -> None:
    server = start(Models(str(model), IDENTITY))
    frames = clip(20)

    async def play() -> list[tuple[int, Pixels]]:
        async with everframe.connect(server.url, prompt="pencil sketch", codec="h264") as live:
            made: list[tuple[int, Pixels]] = []
            for pixels in frames:
                live.send(pixels)
                picture = await live.next()
                made.append((picture.frame_id, picture.pixels))
            return made

    made = asyncio.run(play())
    assert [number for number, _ in made] == list(range(1, 21))
    for (_, picture), pixels in zip(made, frames, strict=True):
        assert error(picture, pixels) < 10  # coded twice


def test_a_burst_is_decoded_whole_and_only_the_newest_is_restyled(
    start: Start, model: Path
) -> None:
    server = start(Models(str(model), IDENTITY))
    frames = clip(3)

    async def play() -> list[tuple[int, Pixels]]:
        async with everframe.connect(server.url, prompt="pencil sketch", codec="h264") as live:
            made: list[tuple[int, Pixels]] = []
            for _ in range(6):
                for pixels in frames:
                    live.send(pixels)
                async with asyncio.timeout(5):
                    while True:
                        picture = await live.next()
                        made.append((picture.frame_id, picture.pixels))
                        if picture.frame_id % 3 == 0:
                            break
            return made

    for number, picture in asyncio.run(play()):
        assert error(picture, frames[(number - 1) % 3]) < 10
