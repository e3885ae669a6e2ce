"""Who may come in, what is refused before it is decoded, and the plain pages."""

import asyncio
import json
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

import everframe
from everframe.cli.main import main
from everframe.core.errors import UserError
from everframe.serve import protocol, wire
from everframe.serve.guard import Access
from everframe.serve.host import Limits
from everframe.serve.models import IDENTITY, Models
from everframe.serve.server import Address, Server
from everframe.serve.wire import Codec, WireFrame
from everframe.stream.resize import Size
from tests.serve.conftest import Start, camera

SECRET = "not-a-secret"


def get(url: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_pages_and_figures(start: Start) -> None:
    url = start().url
    assert get(url + "/healthz") == (200, b"ok\n")
    assert get(url + "/readyz")[0] == 200
    info = json.loads(get(url + "/api/info")[1])
    assert info["protocol"] == protocol.PROTOCOL
    assert info["default_size"] == [96, 64]
    assert json.loads(get(url + "/version")[1])["everframe"] == everframe.__version__

    async def play() -> None:
        async with everframe.connect(url, prompt="pencil") as live:
            live.send(camera(0))
            await live.next()
            assert b"everframe_sessions 1.0" in await asyncio.to_thread(get_metrics)

    def get_metrics() -> bytes:
        return get(url + "/metrics")[1]

    asyncio.run(play())
    assert b"everframe_session_end_total" in get_metrics()


def test_looks_come_with_pictures() -> None:
    server = Server(Models("pocket", IDENTITY), Address(port=0), Limits(), Size(96, 64))
    server.start()
    try:
        looks: list[dict[str, Any]] = json.loads(get(server.url + "/api/looks")[1])
        pencil = next(look for look in looks if look["name"] == "pencil")
        status, picture = get(server.url + pencil["thumbnail_url"])
        assert (status, picture[:4]) == (200, b"RIFF")
        assert get(server.url + "/api/looks/..%2f..%2fcard.webp")[0] == 404
    finally:
        server.stop()


def test_other_pages_and_names_are_kept_out(start: Start) -> None:
    url = start().url
    assert get(url + "/api/info", Host="evil.example")[0] == 403
    assert get(url + "/api/info", Origin="http://evil.example")[0] == 403
    assert get(url + "/api/info", Origin=url)[0] == 200

    async def play() -> None:
        with pytest.raises(InvalidStatus):
            await open_socket(
                url.replace("http", "ws") + "/ws", origin=Origin("http://evil.example")
            )

    asyncio.run(play())


def test_a_token_is_demanded(start: Start) -> None:
    url = start(address=Address(port=0, token=SECRET)).url
    assert get(url + "/api/info")[0] == 401
    assert get(url + "/api/info", Authorization="Bearer wrong")[0] == 401
    assert get(url + "/api/info", Authorization=f"Bearer {SECRET}")[0] == 200
    assert get(url + "/metrics")[0] == 401
    assert get(url + "/healthz")[0] == 200

    async def play(token: str) -> None:
        async with everframe.connect(url, prompt="pencil", token=token) as live:
            live.send(camera(0))
            await live.next()

    with pytest.raises(UserError, match="refuses"):
        asyncio.run(play("wrong"))
    asyncio.run(play(SECRET))


def test_the_open_network_needs_a_token() -> None:
    with pytest.raises(UserError, match="--token"):
        Access.of("0.0.0.0", "", (), ())
    assert Access.of("127.0.0.1", "", (), ()).token == ""
    assert Access.of("0.0.0.0", "x", (), ()).hosts == ()


@pytest.mark.parametrize("wrong", ["--engine", "--precision"])
def test_a_wrong_engine_is_said_in_one_line(
    wrong: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["live", "--no-open", "--port", "0", "--model", str(model), "--size", "96x64"]
    assert main([*words, wrong, "nope"]) != 0
    said = capsys.readouterr().err
    assert "nope" in said
    assert "choose" in said
    assert said.count("\n") == 1


def test_a_taken_port_is_said(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    port = start().url.rsplit(":", 1)[1]
    assert main(["live", "--port", port, "--engine", IDENTITY, "--no-open"]) == 2
    assert "choose another with --port" in capsys.readouterr().err


async def opened(url: str) -> ClientConnection:
    socket = await open_socket(
        url.replace("http", "ws") + "/ws", subprotocols=[Subprotocol(protocol.SUBPROTOCOL)]
    )
    await socket.send(json.dumps({"type": "session.start", "prompt": "pencil"}))
    while json.loads(await socket.recv())["type"] != "session.created":
        pass
    return socket


async def answer_of(socket: ClientConnection, sent: str | bytes) -> dict[str, Any]:
    await socket.send(sent)
    while True:
        got = json.loads(await socket.recv())
        if got["type"] != "session.stats":
            return got


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
TYPES = st.sampled_from(["session.start", "session.update", "view.attach", "nonsense", ""])
FIELDS = st.sampled_from(["prompt", "prompt_b", "steps", "seed", "size", "event_id", "session"])
MESSAGES = (
    st.text(max_size=200)
    | JSON.map(json.dumps)
    | st.tuples(TYPES, st.dictionaries(FIELDS, JSON, max_size=4)).map(
        lambda pair: json.dumps({"type": pair[0], **pair[1]})
    )
)


@given(text=MESSAGES)
@settings(max_examples=300, deadline=None)
def test_any_message_is_read_or_refused(text: str) -> None:
    with suppress(UserError):
        assert protocol.parse(text).type in text


@given(data=st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_picture_message_is_read_or_refused(data: bytes) -> None:
    with suppress(UserError):
        assert wire.decode(wire.unpack(data)).ndim == 3


def test_too_many_messages_a_second_end_the_connection(start: Start) -> None:
    url = start(limits=Limits(messages_per_s=5)).url

    async def play() -> None:
        socket = await opened(url)
        for _ in range(200):
            await answer_of(socket, json.dumps({"type": "session.ping"}))

    with pytest.raises(ConnectionClosed, match="too many messages"):
        asyncio.run(play())


def test_a_picture_is_measured_before_it_is_decoded() -> None:
    small = wire.encode(camera(0), Codec.JPEG, 80)
    lie = WireFrame(
        codec=Codec.JPEG, frame_id=1, capture_ms=0, width=9, height=9, payload=small
    ).pack()
    with pytest.raises(UserError, match="96x64"):
        wire.decode(wire.unpack(lie))
    huge = wire.encode(np.zeros((8, 5000, 3), np.uint8), Codec.JPEG, 80)
    with pytest.raises(UserError, match="4096"):
        wire.unpack(
            WireFrame(
                codec=Codec.JPEG, frame_id=1, capture_ms=0, width=5000, height=8, payload=huge
            ).pack()
        )
    with pytest.raises(UserError, match="cannot be decoded"):
        wire.decode(
            WireFrame(codec=Codec.JPEG, frame_id=1, capture_ms=0, width=9, height=9, payload=b"xx")
        )


def test_a_visitor_cannot_make_the_server_read_a_folder(start: Start, model: Path) -> None:
    url = start().url

    async def play() -> None:
        async with everframe.connect(url, prompt="pencil", model=str(model.parent / "other")[:60]):
            pass

    with pytest.raises(UserError, match="no bundled model"):
        asyncio.run(play())
