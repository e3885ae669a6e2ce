"""The restyled pictures of one session out of the server: RTMP, SRT, UDP, or a file, by PyAV."""

from __future__ import annotations

import logging
import time
from fractions import Fraction

import av
import av.error
from av.container import OutputContainer
from av.video.stream import VideoStream

from everframe.core.errors import UserError
from everframe.serve.outgoing import FPS, Outgoing
from everframe.stream.resize import Size

log = logging.getLogger("everframe.serve")
KEY_S = 2
"""Seconds between key frames, as streaming services ask for."""
BITRATE = 4_000_000
RETRY_S = (1.0, 2.0, 5.0, 10.0)
FORMATS = {"rtmp": "flv", "rtmps": "flv", "srt": "mpegts", "udp": "mpegts", "tcp": "mpegts"}
SUFFIXES = (".mkv", ".ts", ".flv")
"""Containers that stay playable when the power fails."""


def format_of(target: str) -> str | None:
    """The container for an address; None: by the file's suffix.

    Raises:
        UserError: no address or file that can be written live.
    """
    scheme, separator, _ = target.partition("://")
    if separator:
        if scheme not in FORMATS:
            raise UserError(f"--out {scheme}:// is not known; use {', '.join(FORMATS)} or a file")
        return FORMATS[scheme]
    if not target.lower().endswith(SUFFIXES):
        raise UserError(f"--out {target}: a live recording ends in {', '.join(SUFFIXES)}")
    return None


class Broadcast(Outgoing):
    """Sends the newest picture 25 times a second. A lost connection is tried again."""

    def __init__(self, target: str, size: Size) -> None:
        """To an address or a file; pictures of (width, height) `size`.

        Raises:
            UserError: see `format_of`.
        """
        super().__init__("out", size)
        self._target, self._format = target, format_of(target)

    def run(self) -> None:
        """Send until `stop`, opening anew after a failure."""
        tries = 0
        while not self.over.is_set():
            try:
                with av.open(self._target, "w", format=self._format) as output:
                    log.warning("sending to %s", self._target)
                    tries = 0
                    self._send(output)
            except (OSError, av.error.FFmpegError) as error:
                pause = RETRY_S[min(tries, len(RETRY_S) - 1)]
                tries += 1
                log.warning("%s: %s; again in %.0f s", self._target, error, pause)
                self.over.wait(pause)

    def _send(self, output: OutputContainer) -> None:
        stream = self._stream(output)
        begin, sent = time.monotonic(), 0
        while not self.over.is_set():
            frame = av.VideoFrame.from_ndarray(self.newest(), format="rgb24")
            frame.pts, frame.time_base = sent, Fraction(1, FPS)
            output.mux(stream.encode(frame))
            sent += 1
            self.frames += 1
            self.wait(begin, sent)
        output.mux(stream.encode())

    def _stream(self, output: OutputContainer) -> VideoStream:
        options = {"preset": "veryfast", "tune": "zerolatency", "g": str(KEY_S * FPS)}
        stream = output.add_stream("libx264", rate=FPS, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self.size.width, self.size.height
        stream.pix_fmt = "yuv420p"
        stream.codec_context.bit_rate = BITRATE
        stream.codec_context.time_base = Fraction(1, FPS)
        return stream
