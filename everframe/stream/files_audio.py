"""Sound from the source into the output: copied where the container takes it, else re-encoded."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

_COPIED = {
    ".mp4": frozenset({"aac", "mp3", "ac3", "eac3", "alac"}),
    ".mov": frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"}),
    ".mkv": frozenset(
        {"aac", "mp3", "ac3", "eac3", "alac", "opus", "vorbis", "flac", "dts", "pcm_s16le"}
    ),
    ".webm": frozenset({"opus", "vorbis"}),
}
"""Sound codecs that players expect in each container."""
_ENCODER = {".webm": "libopus"}
_OPUS_RATE_HZ = 48_000
_RATES_HZ = frozenset({16_000, 22_050, 24_000, 32_000, 44_100, 48_000})
"""Sampling rates kept when re-encoding; others become `_OPUS_RATE_HZ`."""


class AudioTrack:
    """The first sound track of a file, brought into an output alongside its pictures.

    Args:
        source: file to read; opened a second time, so that pictures and sound are read
            independently.
        output: container being written; its header must not be written yet.
        suffix: of the output, such as `.mp4`.
        start: time in the source, seconds, that is time zero of the output.
    """

    def __init__(self, source: Path, output: OutputContainer, suffix: str, start: Fraction) -> None:
        self.failed = False
        self._input = av.open(source)
        self._output = output
        self._start = start
        self._source = self._input.streams.audio[0]
        self._packets = self._input.demux(self._source)
        self._waiting: Packet[AudioStream] | None = None
        self._resampler: AudioResampler | None = None
        if self._source.codec_context.name in _COPIED[suffix]:
            self._stream = output.add_stream_from_template(self._source)
        else:
            self._stream = self._add_encoder(suffix)

    def write_until(self, time_s: Fraction | None) -> None:
        """Write the sound before `time_s` of the output, or all that is left if None.

        Sound that cannot be read or written ends there (`failed` tells) and never stops the
        pictures.
        """
        if self.failed:
            return
        try:
            for packet in self._before(time_s):
                self._write(packet)
        except av.error.FFmpegError:
            self.failed = True

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self._resampler is None or self.failed:
            return
        try:
            self._encode([*self._resampler.resample(None), None])
        except av.error.FFmpegError:
            self.failed = True

    def close(self) -> None:
        """Release the source file."""
        self._input.close()

    def _add_encoder(self, suffix: str) -> AudioStream:
        codec = _ENCODER.get(suffix, "aac")
        given = self._source.codec_context
        keep = given.sample_rate in _RATES_HZ and codec != "libopus"
        rate_hz = given.sample_rate if keep else _OPUS_RATE_HZ
        layout = "mono" if given.layout.nb_channels == 1 else "stereo"
        stream = self._output.add_stream(codec, rate=rate_hz, layout=layout)
        assert isinstance(stream, AudioStream)
        self._resampler = AudioResampler(
            format=stream.codec_context.format, layout=layout, rate=rate_hz
        )
        return stream

    def _before(self, time_s: Fraction | None) -> Iterator[Packet[AudioStream]]:
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                return
            if packet.dts is None or packet.pts is None:
                continue  # the flush marker, or a packet without a clock
            if time_s is not None and packet.pts * packet.time_base - self._start >= time_s:
                self._waiting = packet
                return
            yield packet

    def _write(self, packet: Packet[AudioStream]) -> None:
        shift = round(self._start / packet.time_base)
        assert packet.pts is not None
        assert packet.dts is not None
        if self._resampler is None:
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = self._stream
            self._output.mux(packet)
            return
        for frame in packet.decode():
            if frame.pts is not None:
                frame.pts -= shift
            self._encode(self._resampler.resample(frame))

    def _encode(self, frames: list[AudioFrame] | list[AudioFrame | None]) -> None:
        for frame in frames:
            self._output.mux(self._stream.encode(frame))
