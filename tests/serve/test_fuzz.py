"""Whatever is sent to any door: an answer, no error of the server's own, and no seat left taken."""

import asyncio
import http.client
import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosedOK
from websockets.typing import Subprotocol

from everframe.serve import protocol, wire
from everframe.serve.host import Limits
from everframe.serve.models import IDENTITY, Models
from everframe.serve.rtc_aiortc import ALONE
from everframe.serve.schema import openapi
from everframe.serve.server import Address, Server
from everframe.serve.wire import Codec
from everframe.stream.resize import Size
from tests.serve.conftest import HEIGHT, WIDTH, camera

DOORS = [(path, method.upper()) for path, of in openapi()["paths"].items() for method in of]
UNAVAILABLE_PATH = "/readyz"
SESSION_KEYS = sorted({*protocol.SessionStart.model_fields, *protocol.SessionUpdate.model_fields})

TEXT = st.text(max_size=30)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
SETTINGS = st.fixed_dictionaries({"type": st.just("session.start")} | {"prompt": TEXT}) | (
    st.dictionaries(st.sampled_from(SESSION_KEYS), JSON, max_size=5)
)
OFFER_LIKE = st.lists(
    st.sampled_from(["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "m=video 9 UDP/TLS/RTP/SAVPF 97"])
    | TEXT,
    max_size=8,
).map("\r\n".join)  # fmt: skip
BODY = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | OFFER_LIKE.map(str.encode)
    | st.tuples(OFFER_LIKE, SETTINGS).map(
        lambda pair: json.dumps({"sdp": pair[0], "session_start": pair[1]}).encode()
    )
)
KIND = st.sampled_from(["application/json", "application/sdp", "text/plain", ""])
MESSAGE = st.one_of(
    st.text(max_size=200),
    st.binary(max_size=60),
    SETTINGS.map(json.dumps),
    st.tuples(
        st.sampled_from([m.model_fields["type"].annotation for m in protocol.SERVER_MESSAGES]), JSON
    ).map(str),
    st.sampled_from(
        ["update", "reset", "ping", "end", "stats", "start", "created", "no such"]
    ).flatmap(
        lambda kind: st.dictionaries(st.sampled_from(SESSION_KEYS), JSON, max_size=4).map(
            lambda fields: json.dumps(fields | {"type": f"session.{kind}"})
        )
    ),
)
PAYLOAD = (
    st.binary(max_size=64)
    | st.integers(0, 500).map(lambda n: wire.encode(camera(1), Codec.JPEG, 50)[:n])
    | st.just(bytes(WIDTH * HEIGHT * 3))
)


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """A header that is nearly right, and a payload."""
    payload = draw(PAYLOAD)
    sides = st.tuples(st.integers(0, 65535), st.integers(0, 65535)) | st.just((WIDTH, HEIGHT))
    version = draw(st.just(wire.VERSION) | st.integers(0, 255))
    codec, flags = draw(st.integers(0, 3)), draw(st.integers(0, 255))
    said = max(0, len(payload) + draw(st.sampled_from([0, 0, 0, -1, 1, 1_000_000])))
    head = wire.HEADER.pack(version, codec, flags, 0, 7, 0.0, *draw(sides), said, 0.0)
    return head + payload


@pytest.fixture
def server(model: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Server]:
    """One server for all examples; at the end nothing is left, and nothing was logged as wrong."""
    limits = Limits(messages_per_s=1e4, frames_per_s=1e4, resume_s=0.2)
    running = Server(Models(str(model), IDENTITY), Address(port=0), limits, Size(WIDTH, HEIGHT))
    running.start()
    with caplog.at_level(logging.ERROR):
        yield running
        until = time.monotonic() + 5
        while running.house.admission.taken and time.monotonic() < until:
            time.sleep(0.05)
        left = running.house.admission.taken, running.house.host.seats, running.house.peers
        running.stop()
    assert left == (0, [], {})
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


def ask(
    server: Server, method: str, path: str, body: bytes, kind: str
) -> tuple[int, dict[str, str], bytes]:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    try:
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def hang_up(server: Server, headers: dict[str, str], body: bytes) -> None:
    """End what an offer opened."""
    place = headers.get("location") or f"/rtc/{json.loads(body)['resource']}"
    assert ask(server, "DELETE", place, b"", "")[0] in (200, 404)


def test_any_request_has_an_answer(server: Server) -> None:
    @given(
        door=st.sampled_from(DOORS),
        other=st.sampled_from([None] * 8 + ["GET", "POST", "PUT", "DELETE"]),
        part=st.text(min_size=1, max_size=20),
        query=TEXT,
        body=BODY,
        kind=KIND,
    )
    @settings(max_examples=250, deadline=None)
    def check(
        door: tuple[str, str], other: str | None, part: str, query: str, body: bytes, kind: str
    ) -> None:
        path, method = door
        for name in ("{name}", "{peer}"):
            path = path.replace(name, quote(part, safe=""))
        path += f"?session={quote(query)}&prompt={quote(query)}"
        status, headers, answer = ask(server, other or method, path, body, kind)
        assert status < 500 or (status == 503 and path.startswith(UNAVAILABLE_PATH))
        if status == 201 or (status == 200 and path.startswith("/api/webrtc")):
            hang_up(server, headers, answer)

    check()


def test_any_broken_offer_has_an_answer(server: Server) -> None:
    async def offer() -> str:
        peer = RTCPeerConnection(ALONE)
        peer.addTransceiver("video")
        peer.createDataChannel("everframe")
        await peer.setLocalDescription(await peer.createOffer())
        sdp = peer.localDescription.sdp
        await peer.close()
        return sdp

    lines = asyncio.run(offer()).splitlines()

    @given(
        edits=st.lists(
            st.tuples(
                st.sampled_from(["drop", "twice", "value", "swap", "cut"]),
                st.integers(0, len(lines) - 1),
                TEXT.filter(lambda text: "\n" not in text and "\r" not in text),
            ),
            max_size=4,
        ),
        path=st.sampled_from(["/whip", "/api/webrtc"]),
    )
    @example(edits=[("drop", lines.index("a=mid:0"), "")], path="/whip")  # half a connection
    @settings(max_examples=100, deadline=None)
    def check(edits: list[tuple[str, int, str]], path: str) -> None:
        sdp = "\r\n".join(edited(lines, edits)) + "\r\n"
        call = {"sdp": sdp, "session_start": {"type": "session.start"}}
        as_json = path == "/api/webrtc"
        body = json.dumps(call).encode() if as_json else sdp.encode()
        kind = "application/json" if as_json else "application/sdp"
        status, headers, answer = ask(server, "POST", path, body, kind)
        assert status in (200, 201, 400, 422)
        if status < 300:
            hang_up(server, headers, answer)

    check()


def edited(lines: list[str], edits: list[tuple[str, int, str]]) -> list[str]:
    made = list(lines)
    for what, place, text in edits:
        at = place % len(made) if made else 0
        match what:
            case "drop":
                del made[at : at + 1]
            case "twice":
                made[at:at] = made[at : at + 1]
            case "value":
                made[at : at + 1] = [
                    line.partition(":")[0] + ":" + text for line in made[at : at + 1]
                ]
            case "swap":
                made = made[at:] + made[:at]
            case _:
                made = made[:at]
    return made


async def pong(socket: ClientConnection) -> None:
    """The connection still answers, among the pictures that come back."""
    await socket.send(json.dumps({"type": "session.ping", "event_id": "last"}))
    while True:
        got = await socket.recv()
        if isinstance(got, str) and json.loads(got).get("event_id") == "last":
            return


def test_any_order_of_messages_and_pictures_has_an_answer(server: Server) -> None:
    address = server.url.replace("http", "ws") + "/ws"

    async def play(sent: list[str | bytes]) -> None:
        async with open_socket(address, subprotocols=[Subprotocol(protocol.SUBPROTOCOL)]) as socket:
            for one in sent:
                await socket.send(one)
            async with asyncio.timeout(10):
                await pong(socket)
            await socket.send(json.dumps({"type": "session.end"}))

    @given(sent=st.lists(MESSAGE | pictures(), max_size=12), opened=st.booleans())
    @settings(max_examples=150, deadline=None)
    def check(sent: list[str | bytes], opened: bool) -> None:
        start = [json.dumps({"type": "session.start", "prompt": "pencil"})] if opened else []
        with suppress(ConnectionClosedOK):  # what was sent may end the session
            asyncio.run(play([*start, *sent]))

    check()


def test_anything_on_a_data_channel_has_an_answer(server: Server) -> None:
    async def play(sent: list[str | bytes]) -> None:
        peer, heard = RTCPeerConnection(ALONE), asyncio.Event()
        peer.addTransceiver("video")
        channel = peer.createDataChannel("everframe")

        def hear(text: str) -> None:
            if json.loads(text).get("event_id") == "last":
                heard.set()

        channel.on("message", hear)
        await peer.setLocalDescription(await peer.createOffer())
        call = {"sdp": peer.localDescription.sdp, "session_start": {"type": "session.start"}}
        body = json.dumps(call).encode()
        _, _, answer = await asyncio.to_thread(
            ask, server, "POST", "/api/webrtc", body, "application/json"
        )
        sdp = json.loads(answer)["sdp"]
        await peer.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer"))
        async with asyncio.timeout(10):
            while channel.readyState != "open":
                await asyncio.sleep(0.02)
            for one in (*sent, json.dumps({"type": "session.ping", "event_id": "last"})):
                channel.send(one)
            await heard.wait()
        await peer.close()

    @given(sent=st.lists(MESSAGE, min_size=30, max_size=40))
    @settings(max_examples=2, deadline=None, phases=[Phase.generate])
    def check(sent: list[str | bytes]) -> None:
        asyncio.run(play(sent))

    check()
