"""A WebRTC connection by `reactor-webrtc`: libwebrtc, the engine of Chromium, in its own threads.

It codes and decodes VP8, VP9 and AV1; H.264 it has not on Linux. Frames leave as they are: both
ends are asked to keep no buffer (the playout-delay extension).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import reactor_webrtc as rw
from av import VideoFrame

from everframe.core.errors import UserError
from everframe.serve import marker, protocol
from everframe.serve.mailbox import Mailbox
from everframe.serve.rtc import ChannelSink, Peer
from everframe.serve.rtc_sdp import (
    MAX_BITRATE,
    START_BITRATE,
    needed_bitrate,
    with_candidates,
    with_start_bitrate,
)

GATHER_S = 3.0
SILENCE_S = 2.0
"""A connection that seems over is, if nothing came for so long. libwebrtc does not say that the
other side hung up: it notices within five seconds that packets stay away, or at once that a data
channel is closed."""
BROKEN = (rw.PeerConnectionState.Disconnected, rw.PeerConnectionState.Failed)


@cache
def factory() -> rw.PeerConnectionFactory:
    """The engine, one for all connections."""
    builder = rw.PeerConnectionFactoryBuilder()
    builder.with_synthetic_adm()
    builder.with_metadata(False)
    builder.with_send_playout_delay()
    builder.with_receive_playout_delay()
    return builder.build()


class ReactorLine:
    """See `rtc.Line`. Callbacks come in libwebrtc's threads and only pass on to the event loop."""

    def __init__(self, peer: Peer) -> None:
        """Not connected yet."""
        self._peer, self._loop = peer, asyncio.get_running_loop()
        self._out: Mailbox[bytes] = Mailbox()
        self._in: Mailbox[tuple[bytes, int, int]] = Mailbox()
        self._candidates: list[tuple[str, str]] = []
        self._gathered = asyncio.Event()
        self._over: asyncio.TimerHandle | None = None
        self._hanging_up: asyncio.Task[None] | None = None
        self._came_at = time.monotonic()
        self._tracks: list[rw.Track] = []
        self._picture = factory().create_video_track("picture")
        self._observer = rw.PeerConnectionObserver()
        self._observer.on_ice_candidate = self._gather
        self._observer.on_ice_gathering_change = self._watch_gathering
        self._observer.on_connection_state_change = self._watch
        self._observer.on_track = self._receive
        self._observer.on_data_channel = self._listen
        settings = rw.RtcConfiguration(ice_servers=[], frame_metadata=False)
        self._connection: rw.PeerConnection | None = factory().create_peer_connection(
            settings, self._observer
        )

    def picture(self, data: bytes) -> None:
        """Take a packed picture, raw."""
        if self._out.put(data) is None:
            self._soon(self._push)

    def message(self, message: protocol.Message) -> None:
        """Messages go another way."""

    async def answer(self, sdp: str) -> str:
        """Take an offer, give the whole answer."""
        connection = self._connection
        assert connection is not None
        await connection.set_remote_description(rw.SessionDescription("offer", sdp))
        if self._peer.sends:
            connection.add_track(self._picture)
        width, height = self._peer.seat.size
        ceiling = needed_bitrate(width, height + marker.STRIP)
        await connection.set_bitrate(start_bps=min(START_BITRATE, ceiling), max_bps=MAX_BITRATE)
        made = await connection.create_answer()
        if "\nm=video 0 " in made.sdp:
            raise UserError("it has no video codec that reactor-webrtc knows (VP8, VP9, AV1)")
        await connection.set_local_description(made)
        for transceiver in await connection.transceivers():
            if transceiver.kind() == rw.MediaKind.Video:
                await transceiver.set_send_bitrate(max_bps=ceiling)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER_S):
                await self._gathered.wait()
        return with_start_bitrate(with_candidates(made.sdp, self._candidates))

    async def close(self) -> None:
        """Hang up."""
        if self._over is not None:
            self._over.cancel()
        observer, self._connection = self._observer, None
        observer.on_ice_candidate = observer.on_ice_gathering_change = None
        observer.on_connection_state_change = observer.on_track = observer.on_data_channel = None
        self._tracks.clear()

    def _soon(self, work: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed
            self._loop.call_soon_threadsafe(work, *args)

    def _push(self) -> None:
        data = self._out.take()
        if data is None or self._connection is None:
            return
        pixels = self._peer.picture_for(data)
        height, width = pixels.shape[:2]
        bgra = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgra").to_ndarray()
        self._picture.push_video_frame(bgra.tobytes(), width, height)

    def _gather(self, found: rw.IceCandidate) -> None:
        self._candidates.append((found.sdp_mid or "", found.candidate))

    def _watch_gathering(self, state: rw.IceGatheringState) -> None:
        if state == rw.IceGatheringState.Complete:
            self._soon(self._gathered.set)

    def _watch(self, state: rw.PeerConnectionState) -> None:
        if state in BROKEN:
            self._soon(self._doubt)

    def _doubt(self) -> None:
        """It may be over; see in a while."""
        if self._over is None and self._connection is not None:
            self._over = self._loop.call_later(SILENCE_S, self._give_up)

    def _give_up(self) -> None:
        self._over = None
        if time.monotonic() - self._came_at < SILENCE_S / 2:
            return
        self._hanging_up = self._loop.create_task(self._peer.close())

    def _receive(self, kind: rw.MediaKind, track: rw.Track) -> None:
        if kind == rw.MediaKind.Video and self._peer.receives:
            self._tracks.append(track)
            track.on_video_frame(self._see)

    def _see(self, bgra: bytes, width: int, height: int, _: object = None) -> None:
        if self._in.put((bgra, width, height)) is None:
            self._soon(self._take)

    def _take(self) -> None:
        came = self._in.take()
        if came is None or self._connection is None:
            return
        self._came_at = time.monotonic()
        bgra, width, height = came
        pixels = np.frombuffer(bgra, np.uint8).reshape(height, width, 4)
        self._peer.take(VideoFrame.from_ndarray(pixels, format="bgra"))

    def _listen(self, channel: rw.DataChannel) -> None:
        def say(text: str) -> None:
            if channel.state() == rw.DataChannelState.Open:
                channel.send(text.encode(), binary=False)

        def hear(data: bytes, binary: bool) -> None:
            self._soon(self._peer.hear, data if binary else data.decode(errors="replace"), sink)

        sink = ChannelSink(say, self._loop)
        self._soon(self._peer.listen, sink)
        channel.on_message(hear)
        channel.on_close(lambda: self._soon(self._doubt))
