"""WebRTC with aiortc as the other side: a call, WHIP in, WHEP out."""

import asyncio
import json
import urllib.error
import urllib.request
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiortc import (
    MediaStreamTrack,
    RTCIceGatherer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from av import VideoFrame

from everframe.core.errors import UserError
from everframe.serve.models import IDENTITY, Models
from everframe.serve.rtc_aiortc import ALONE
from everframe.serve.rtc_choice import AIORTC, AUTO, REACTOR, checked, installed, package_for
from everframe.serve.rtc_sdp import with_candidates, with_start_bitrate
from everframe.serve.server import Server
from tests.serve.conftest import HEIGHT, WIDTH, Start, need

FPS = 25


class Colours(MediaStreamTrack):
    """Plain frames, each second's another colour; counts what was asked of it."""

    kind = "video"

    def __init__(self, level: int = 60) -> None:
        super().__init__()
        self.level = level
        self._number = 0

    async def recv(self) -> VideoFrame:
        """One frame, at its time."""
        await asyncio.sleep(1 / FPS)
        self._number += 1
        frame = VideoFrame.from_ndarray(
            np.full((128, 192, 3), self.level, np.uint8), format="rgb24"
        )
        frame.pts, frame.time_base = self._number * 90_000 // FPS, Fraction(1, 90_000)
        return frame


def offer_only(peer: RTCPeerConnection, codec: str) -> None:
    known = RTCRtpSender.getCapabilities("video").codecs
    for transceiver in peer.getTransceivers():
        transceiver.setCodecPreferences([c for c in known if c.name in (codec, "rtx")])


def post(url: str, body: bytes, kind: str) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(url, body, {"Content-Type": kind}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {}


def delete(url: str) -> int:
    with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=20) as answer:
        return int(answer.status)


async def offered(peer: RTCPeerConnection) -> str:
    await peer.setLocalDescription(await peer.createOffer())
    return peer.localDescription.sdp


async def accept(peer: RTCPeerConnection, sdp: str) -> None:
    await peer.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer"))


async def level_of(track: MediaStreamTrack, wanted: int, frames: int = 150) -> float:
    """Mean level once it is near `wanted`, or of the last of `frames` frames."""
    level = -1.0
    for _ in range(frames):
        frame = await asyncio.wait_for(track.recv(), 10)
        assert isinstance(frame, VideoFrame)
        assert (frame.width, frame.height) == (WIDTH, HEIGHT)
        level = float(frame.to_ndarray(format="rgb24").mean())
        if abs(level - wanted) < 6:
            break
    return level


def identity(start: Start, model: Path) -> Server:
    return start(Models(str(model), IDENTITY))


@pytest.mark.parametrize(("package", "codec"), [(AIORTC, "VP8"), (AUTO, "H264"), (REACTOR, "VP8")])
def test_a_call_brings_the_pictures_back(
    start: Start, model: Path, package: str, codec: str
) -> None:
    if package != AUTO:
        need(package)
    server = start(Models(str(model), IDENTITY), rtc=package)

    async def play() -> tuple[float, float, list[dict[str, Any]]]:
        peer, colours = RTCPeerConnection(ALONE), Colours()
        came: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()
        peer.on("track", came.set_result)
        peer.addTrack(colours)
        offer_only(peer, codec)
        channel = peer.createDataChannel("everframe")
        heard: list[dict[str, Any]] = []

        def hear(text: str) -> None:
            heard.append(json.loads(text))

        channel.on("message", hear)
        body = {"sdp": await offered(peer), "session_start": {"type": "session.start"}}
        status, answer, _ = await asyncio.to_thread(
            post, server.url + "/api/webrtc", json.dumps(body).encode(), "application/json"
        )
        assert status == 200
        await accept(peer, json.loads(answer)["sdp"])
        track = await asyncio.wait_for(came, 10)
        first = await level_of(track, 60)
        while channel.readyState != "open":
            await asyncio.sleep(0.02)
        channel.send(json.dumps({"type": "session.update", "freeze": True, "event_id": "e"}))
        await level_of(track, -100, 20)
        colours.level = 200
        frozen = await level_of(track, 200, 40)
        await peer.close()
        async with asyncio.timeout(8):
            while server.house.peers or server.house.admission.taken:
                await asyncio.sleep(0.05)
        return first, frozen, heard

    first, frozen, heard = asyncio.run(play())
    assert abs(first - 60) < 6
    assert abs(frozen - 60) < 6
    acknowledged = [m for m in heard if m["type"] == "session.updated"]
    assert acknowledged[0]["event_id"] == "e"
    assert acknowledged[0]["frame"] > 0


def test_whip_in_and_whep_out(start: Start, model: Path) -> None:
    server = identity(start, model)

    async def play() -> float:
        sender, player = RTCPeerConnection(ALONE), RTCPeerConnection(ALONE)
        sender.addTrack(Colours(150))
        offer = await offered(sender)
        status, answer, headers = await asyncio.to_thread(
            post, server.url + "/whip?prompt=anime", offer.encode(), "application/sdp"
        )
        assert status == 201
        await accept(sender, answer.decode())
        came: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()
        player.on("track", came.set_result)
        player.addTransceiver("video", direction="recvonly")
        status, answer, _ = await asyncio.to_thread(
            post,
            f"{server.url}/whep?session={headers['x-session-id']}",
            (await offered(player)).encode(),
            "application/sdp",
        )
        assert status == 201
        await accept(player, answer.decode())
        level = await level_of(await asyncio.wait_for(came, 10), 150)
        assert await asyncio.to_thread(delete, server.url + headers["location"]) == 200
        assert server.house.host.seats == []
        await sender.close()
        await player.close()
        return level

    assert abs(asyncio.run(play()) - 150) < 6


def test_no_server_elsewhere_is_asked(
    start: Start, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        pytest.fail("a STUN server was looked for")

    monkeypatch.setattr(RTCIceGatherer, "getDefaultIceServers", fail)

    async def play() -> int:
        peer = RTCPeerConnection(ALONE)
        peer.addTrack(Colours())
        body = (await offered(peer)).encode()
        url = identity(start, model).url + "/whip"
        status, *_ = await asyncio.to_thread(post, url, body, "application/sdp")
        await peer.close()
        return status

    assert asyncio.run(play()) == 201


def test_what_is_no_offer_is_refused(start: Start, model: Path) -> None:
    url = identity(start, model).url
    assert post(url + "/whip", b"v=0", "text/plain")[0] == 415
    assert post(url + "/whip", b"nonsense", "application/sdp")[0] == 400
    assert post(url + "/whep?session=none", b"v=0", "application/sdp")[0] == 400
    assert post(url + "/whip", b"x" * 100_000, "application/sdp")[0] == 400
    status, why, _ = post(url + "/api/webrtc", b"{}", "application/json")
    assert (status, b"sdp" in why) == (422, True)


def test_what_reactor_cannot_do_takes_no_seat(start: Start, model: Path) -> None:
    need(REACTOR)
    server = start(Models(str(model), IDENTITY), rtc=REACTOR)

    async def offer() -> str:
        peer = RTCPeerConnection(ALONE)
        peer.addTrack(Colours())
        offer_only(peer, "H264")
        sdp = await offered(peer)
        await peer.close()
        return sdp

    good = asyncio.run(offer())
    for sdp in (good, "m=video", good.replace("a=ice-pwd:", "a=ice-pwd:x y"), good[:600]):
        body = json.dumps({"sdp": sdp, "session_start": {"type": "session.start"}}).encode()
        status, why, _ = post(server.url + "/api/webrtc", body, "application/json")
        assert (status, why[:31]) == (400, b"the SDP offer cannot be answere")
        assert why.count(b"\n") == 1
    assert server.house.admission.taken == 0
    assert (server.house.host.seats, server.house.peers) == ([], {})


def test_the_package_is_chosen_by_the_offer() -> None:
    had = [name for name in (REACTOR, AIORTC) if name in installed()]
    assert package_for(AUTO, "join", "a=rtpmap:96 VP8/90000") == had[0]
    assert package_for(AUTO, "join", "a=rtpmap:96 H264/90000") == AIORTC
    assert package_for(REACTOR, "whip", "a=rtpmap:96 VP8/90000") == AIORTC
    with pytest.raises(UserError, match="choose one of auto, aiortc, reactor"):
        checked("other")


def test_candidates_stand_in_the_medium_that_they_are_for() -> None:
    sdp = "v=0\r\nm=audio 9 X 8\r\na=mid:0\r\nm=video 9 X 97\r\na=mid:1\r\n"
    lines = with_candidates(sdp, [("1", "candidate:1 x"), ("0", "candidate:2 y")]).splitlines()
    assert lines[3:5] == ["a=candidate:2 y", "a=end-of-candidates"]
    assert lines[-2:] == ["a=candidate:1 x", "a=end-of-candidates"]


def test_the_answer_asks_for_a_full_picture_from_the_start() -> None:
    sdp = "v=0\r\nm=audio 9 UDP 8\r\na=rtpmap:8 PCMA/8000\r\nm=video 9 UDP 97 98\r\n"
    sdp += "a=rtpmap:97 VP8/90000\r\na=rtpmap:98 H264/90000\r\na=fmtp:98 packetization-mode=1\r\n"
    lines = with_start_bitrate(sdp).splitlines()
    assert sum("x-google-start-bitrate=2500" in line for line in lines) == 2
    assert lines[2] == "a=rtpmap:8 PCMA/8000"
