"""A process of its own that encodes pictures and sends them to a streaming service.

    python -m everframe.serve.sender URL WxH FORMAT    (raw RGB pictures on its standard input)

FFmpeg's libraries hold Python's lock while they connect: in the server's process a service that
does not answer would stop every session. Here it stops nothing, and an alarm ends it.
"""

from __future__ import annotations

import signal
import sys
import time
from fractions import Fraction

import av
import av.error
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from everframe.serve.outgoing import FPS
from everframe.stream.resize import Size, parse_size

KEY_S = 2
"""Seconds between key frames, as streaming services ask for."""
BITRATE = 4_000_000
PATIENCE_S = 15
"""A service that takes nothing for so long is given up."""


def watch() -> None:
    """The process ends if this is not called again in time; not on Windows, which has no alarm."""
    if sys.platform != "win32":
        signal.alarm(PATIENCE_S)


def send(target: str, size: Size, container: str | None) -> None:
    """Send pictures until the input ends, at the times at which they come."""
    watch()
    with av.open(target, "w", format=container) as output:
        stream = add_stream(output, size)
        length, begin, last = 3 * size.width * size.height, time.monotonic(), -1
        while len(data := sys.stdin.buffer.read(length)) == length:
            watch()
            pixels = np.frombuffer(data, np.uint8).reshape(size.height, size.width, 3)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            last = max(last + 1, round((time.monotonic() - begin) * FPS))
            frame.pts, frame.time_base = last, Fraction(1, FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())


def add_stream(output: OutputContainer, size: Size) -> VideoStream:
    """H.264 as services want it."""
    options = {"preset": "veryfast", "tune": "zerolatency", "g": str(KEY_S * FPS)}
    stream = output.add_stream("libx264", rate=FPS, options=options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = size.width, size.height
    stream.pix_fmt = "yuv420p"
    stream.codec_context.bit_rate = BITRATE
    stream.codec_context.time_base = Fraction(1, FPS)
    return stream


def main() -> int:
    """Read the command line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's: it closes the input
    target, size, container = sys.argv[1:4]
    try:
        send(target, parse_size(size), container or None)
    except (OSError, av.error.FFmpegError) as error:
        sys.stderr.write(f"{error.strerror or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
