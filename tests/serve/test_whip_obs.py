"""WHIP with the offer that OBS sends.

`obs_whip_offer.sdp` has the lines of two offers, of OBS 30.1 and of late 2025, that users recorded
and published in reports to two servers (kevmo314/tinywhip#2, ossrs/srs#4590), with ids, keys and
addresses of our own: what libdatachannel writes and browsers do not. Its ICE and DTLS parameters
stand once, for the session; sound comes first; there may be no candidates, which the server then
has to learn from the checks that arrive.
"""

import asyncio
import re
from pathlib import Path

import pytest
from aiortc import MediaStreamTrack, RTCPeerConnection
from aiortc.mediastreams import AudioStreamTrack

from everframe.serve.rtc_aiortc import ALONE
from tests.serve.conftest import Start
from tests.serve.test_rtc import Colours, accept, delete, identity, level_of, offered, post

OFFER = (Path(__file__).parent / "obs_whip_offer.sdp").read_text("ascii")
AS_A_WHOLE = ("ice-ufrag", "ice-pwd", "fingerprint")


def lines(sdp: str) -> str:
    """With the line ends of SDP."""
    return "\r\n".join(sdp.splitlines()) + "\r\n"


def source(sdp: str, kind: str) -> str:
    """SSRC of a medium, the first it names."""
    found = re.search(rf"m={kind}.*?a=ssrc:(\d+)", sdp, re.DOTALL)
    assert found
    return found[1]


def like_obs(offer: str, *, candidates: bool) -> str:
    """The recorded offer, with the keys and sources of a peer that can answer for it."""
    written = OFFER
    for name in AS_A_WHOLE:
        pattern = re.compile(rf"a={name}:(sha-256 )?\S+")
        mine = next(m for m in pattern.finditer(offer) if name != "fingerprint" or m[1])
        written = pattern.sub(lambda _, own=mine[0]: own, written)
    for kind in ("audio", "video"):
        theirs, mine = (source(sdp, kind) for sdp in (OFFER, offer))
        written = written.replace(f"a=ssrc:{theirs}", f"a=ssrc:{mine}")
    if candidates:
        audio = offer[offer.index("m=audio") : offer.index("m=video")]
        known = [line for line in audio.splitlines() if line.startswith("a=candidate")]
        end = "\n".join([*known, "a=end-of-candidates", "m=video"])
        written = written.replace("m=video", end)
    return lines(written)


@pytest.mark.parametrize("candidates", [True, False])
def test_obs_sends_and_a_player_sees_it(start: Start, model: Path, candidates: bool) -> None:
    server = identity(start, model)

    async def play() -> tuple[str, float]:
        sender, player = RTCPeerConnection(ALONE), RTCPeerConnection(ALONE)
        sender.addTrack(AudioStreamTrack())
        sender.addTrack(Colours(150))
        offer = like_obs(await offered(sender), candidates=candidates)
        status, answer, headers = await asyncio.to_thread(
            post, server.url + "/whip?prompt=anime", offer.encode(), "application/sdp"
        )
        assert status == 201
        await accept(sender, answer.decode())
        came: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()
        player.on("track", came.set_result)
        player.addTransceiver("video", direction="recvonly")
        url = f"{server.url}/whep?session={headers['x-session-id']}"
        status, seen, _ = await asyncio.to_thread(
            post, url, (await offered(player)).encode(), "application/sdp"
        )
        assert status == 201
        await accept(player, seen.decode())
        level = await level_of(await asyncio.wait_for(came, 10), 150)
        assert await asyncio.to_thread(delete, server.url + headers["location"]) == 200
        await sender.close()
        await player.close()
        return answer.decode(), level

    answer, level = asyncio.run(play())
    assert abs(level - 150) < 6
    media = re.findall(r"m=(\w+) \d+ \S+ ([\d ]+)", answer)
    assert media == [("audio", "111"), ("video", "96")]
    assert answer.count("a=recvonly") == 2


def test_the_offer_as_it_was_recorded_is_answered(start: Start, model: Path) -> None:
    url = identity(start, model).url + "/whip"
    status, answer, headers = post(url, lines(OFFER).encode(), "application/sdp")
    assert status == 201
    assert "H264/90000" in answer.decode()
    assert delete(url.removesuffix("/whip") + headers["location"]) == 200
