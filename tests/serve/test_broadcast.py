"""Pictures out of the server: into a file and over a socket, read back by PyAV."""

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

import everframe
from everframe.core.errors import UserError
from everframe.serve import broadcast
from everframe.serve.broadcast import Broadcast, format_of
from everframe.serve.host import Limits
from everframe.serve.models import IDENTITY, Models
from everframe.serve.outgoing import FPS
from everframe.serve.server import Address, Server
from everframe.stream.resize import Size
from tests.serve.conftest import HEIGHT, WIDTH, camera

SIZE = Size(WIDTH, HEIGHT)
NEEDS_SRT = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="SRT needs the program ffmpeg"
)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def send_for(seconds: float, model: Path, out: str) -> None:
    """A session of some seconds on a server that sends to `out`."""
    models = Models(str(model), IDENTITY)
    server = Server(models, Address(port=0), Limits(), SIZE, [Broadcast(out, SIZE)])
    server.start()

    async def play() -> None:
        async with everframe.connect(server.url, prompt="pencil sketch") as live:
            for number in range(round(seconds * FPS)):
                live.send(camera(number % 5))
                await live.next()
                await asyncio.sleep(1 / FPS)

    asyncio.run(play())
    server.stop()


def check(film: Path, least: int) -> None:
    with av.open(str(film)) as opened:
        frames = [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]
    assert len(frames) >= least
    assert frames[-1].shape == (HEIGHT, WIDTH, 3)
    assert max(frame.std() for frame in frames) > 20


def test_a_session_is_recorded_on_the_server(model: Path, tmp_path: Path) -> None:
    send_for(1.5, model, str(tmp_path / "live.mkv"))
    check(tmp_path / "live.mkv", 25)


RECEIVER = """
import contextlib, sys, av
with av.open(sys.argv[1], options={sys.argv[2]: sys.argv[3]} if sys.argv[2:] else {}) as came:
    with av.open(sys.argv[-1], "w", format="matroska") as film:
        stream = film.add_stream_from_template(came.streams.video[0])
        with contextlib.suppress(OSError):  # what RTMP ends with
            for packet in came.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    film.mux(packet)
"""


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("tcp://127.0.0.1:{port}", ("listen", "1")),
        ("rtmp://127.0.0.1:{port}/live/secret", ("listen", "1")),
    ],
)
def test_a_session_is_sent_to_a_receiver(
    model: Path, tmp_path: Path, target: str, options: tuple[str, str]
) -> None:
    url, film = target.format(port=free_port()), tmp_path / "received"
    receiver = subprocess.Popen([sys.executable, "-c", RECEIVER, url, *options, str(film)])
    send_for(2.5, model, url)
    assert receiver.wait(10) == 0
    check(film, 20)


@NEEDS_SRT
def test_a_session_is_sent_by_srt(model: Path, tmp_path: Path) -> None:
    url, film = f"srt://127.0.0.1:{free_port()}", tmp_path / "received.mkv"
    words = f"ffmpeg -loglevel error -i {url}?mode=listener -t 1 -c copy {film}"
    receiver = subprocess.Popen(words.split())
    send_for(3, model, url)
    assert receiver.wait(10) == 0
    check(film, 15)


def test_a_service_that_does_not_answer_holds_nothing_up(
    model: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg connects with Python's lock held."""
    monkeypatch.setattr(broadcast, "END_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        send_for(1, model, f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live/secret")
        assert time.monotonic() - begin < 8
    assert "sending to rtmp://127.0.0.1" in caplog.text
    assert "secret" not in caplog.text


def test_what_cannot_be_sent_to_is_said() -> None:
    with pytest.raises(UserError, match="rtmp"):
        format_of("gopher://x")
    with pytest.raises(UserError, match="mkv"):
        format_of("film.mp4")
    assert format_of("rtmp://a/b") == "flv"
    assert format_of("x.mkv") is None
