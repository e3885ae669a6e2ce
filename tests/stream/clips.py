"""Small real files for the tests of reading, writing and the command line."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from everframe.stream.frame import Pixels

WIDTH, HEIGHT, FPS = 64, 48, 24
SOUND_HZ = 48_000


def picture(index: int, *, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """A grey picture whose level tells its index, with a red quarter at the top left."""
    pixels = np.full((height, width, 3), 40 + 8 * (index % 24), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = (220, 30, 30)
    return pixels


def index_of(pixels: Pixels) -> int:
    """The index modulo 24 that `picture` wrote, also after a lossy codec."""
    height, width = pixels.shape[:2]
    return round((float(pixels[height * 3 // 4, width * 3 // 4].mean()) - 40) / 8)


def write_clip(
    path: Path,
    *,
    frames: int = FPS,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    ticks: Sequence[int] | None = None,
    sound: str | None = None,
) -> Path:
    """Write a clip; `ticks` are frame times in 1/240 s (default: even, 24 fps)."""
    with av.open(path, "w") as output:
        stream = output.add_stream(codec, rate=FPS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = Fraction(1, 240)
        track = None if sound is None else output.add_stream(sound, rate=SOUND_HZ, layout="mono")
        for index in range(frames):
            frame = VideoFrame.from_ndarray(picture(index, width=size[0], height=size[1]))
            frame.pts = index * 10 if ticks is None else ticks[index]
            frame.time_base = Fraction(1, 240)
            output.mux(stream.encode(frame.reformat(format=pix_fmt)))
        output.mux(stream.encode(None))
        if track is not None:
            assert isinstance(track, AudioStream)
            _write_tone(output, track, seconds=frames / FPS)
    return path


def write_sound(path: Path) -> Path:
    """Write a file that holds only sound."""
    with av.open(path, "w") as output:
        track = output.add_stream("aac", rate=SOUND_HZ, layout="mono")
        assert isinstance(track, AudioStream)
        _write_tone(output, track, seconds=0.5)
    return path


def rotate_clip(path: Path) -> None:
    """Set the display matrix of an mp4 to a quarter turn clockwise, as phones do."""
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd")
    matrix = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    start = header + 4 + 40  # version 0: 40 bytes before the matrix
    data[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)


def read_clip(path: Path) -> tuple[list[Pixels], list[Fraction]]:
    """Return the pictures and the times (seconds from the first) of a clip."""
    with av.open(path) as container:
        frames = [
            (f.to_ndarray(format="rgb24"), f.pts, f.time_base) for f in container.decode(video=0)
        ]
    assert all(pts is not None for _, pts, _ in frames)
    times = [Fraction(pts or 0) * Fraction(base or 1) for _, pts, base in frames]
    return [np.asarray(pixels, np.uint8) for pixels, _, _ in frames], [t - times[0] for t in times]


def sound_packets(path: Path) -> list[bytes]:
    """Return the bytes of each packet of sound."""
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def sound_seconds(path: Path) -> float:
    """Return how long the decoded sound of a file is."""
    with av.open(path) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def _write_tone(output: OutputContainer, track: AudioStream, seconds: float) -> None:
    phase = np.arange(round(seconds * SOUND_HZ)) * (2 * np.pi * 440 / SOUND_HZ)
    samples = (np.sin(phase) * 8000).astype(np.int16)
    step = 960
    for start in range(0, samples.size, step):
        frame = AudioFrame.from_ndarray(samples[None, start : start + step], "s16", "mono")
        frame.sample_rate = SOUND_HZ
        frame.pts = start
        frame.time_base = Fraction(1, SOUND_HZ)
        output.mux(track.encode(frame))
    output.mux(track.encode(None))
