"""Pictures out of the server: into a file and over a socket, read back by PyAV."""

import asyncio
import socket
import threading
from pathlib import Path

import av
import pytest

import everframe
from everframe.core.errors import UserError
from everframe.serve.broadcast import Broadcast, format_of
from everframe.serve.host import Limits
from everframe.serve.models import IDENTITY, Models
from everframe.serve.outgoing import FPS
from everframe.serve.server import Address, Server
from everframe.stream.resize import Size
from tests.serve.conftest import HEIGHT, WIDTH, camera

SIZE = Size(WIDTH, HEIGHT)


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


def test_a_session_is_sent_over_a_socket(model: Path, tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    film = tmp_path / "received.ts"

    def receive() -> None:
        connection, _ = listener.accept()
        with connection, film.open("wb") as file:
            while part := connection.recv(65536):
                file.write(part)

    receiver = threading.Thread(target=receive)
    receiver.start()
    send_for(1.5, model, f"tcp://127.0.0.1:{listener.getsockname()[1]}")
    receiver.join(10)
    listener.close()
    check(film, 20)


def test_what_cannot_be_sent_to_is_said() -> None:
    with pytest.raises(UserError, match="rtmp"):
        format_of("gopher://x")
    with pytest.raises(UserError, match="mkv"):
        format_of("film.mp4")
    assert format_of("rtmp://a/b") == "flv"
    assert format_of("x.mkv") is None
