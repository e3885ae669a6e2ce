"""Frames into video files and image folders.

Everything is written under a temporary name in the same folder and renamed at the end, so that
nothing half-written ever stands under the final name.
"""

import os
import shutil
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import OutputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from everframe.core.errors import UserError
from everframe.stream.files_audio import AudioTrack
from everframe.stream.files_read import IMAGE_SUFFIXES, reason
from everframe.stream.frame import Frame, SourceInfo
from everframe.stream.resize import Size

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")
_BT709 = 1
"""Code of BT.709 in the colour fields of a stream (ITU-T H.273)."""
_CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "veryfast", "crf": "18"}),
    "vp9": (
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "28", "b": "0"},
    ),
}


class VideoSink:
    """Writes a video file: H.264 in mp4, mov and mkv, VP9 in webm; times and sound as in the
    source.

    Args:
        path: final name; the suffix chooses the container.
        source: what is read; gives the frame times and the sound.
        size: size of the video, pixels; odd sides are cut by one pixel.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path: Path, source: SourceInfo, size: Size) -> None:
        self.frames = 0
        self._path = path
        self._partial = partial_name(path)
        self._size = size.even()
        self._time_base = source.time_base
        self._step_s = 1 / source.fps
        self._end_s = Fraction(0)
        self._reformatter = VideoReformatter()
        self._output = _open_output(self._partial, path)
        self._audio: AudioTrack | None = None
        try:
            self._stream = self._add_video(source)
            if source.audio is not None:
                self._audio = AudioTrack(
                    source.audio, self._output, path.suffix.lower(), source.start
                )
        except BaseException:
            self.discard()
            raise

    @property
    def lost_sound(self) -> bool:
        """Whether the sound of the source ended early because it could not be copied."""
        return self._audio is not None and self._audio.failed

    def write(self, frame: Frame) -> None:
        """Encode one frame, resized if need be, and the sound up to its time."""
        picture = VideoFrame.from_ndarray(frame.pixels, format="rgb24")
        picture = self._reformatter.reformat(
            picture,
            width=self._size.width,
            height=self._size.height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
        )
        picture.pts = round(frame.time / self._time_base)
        picture.time_base = self._time_base
        with _named_errors(self._path):
            self._output.mux(self._stream.encode(picture))
        if self._audio is not None:
            self._audio.write_until(frame.time)
        self.frames += 1
        self._end_s = frame.time + self._step_s

    def finish(self, *, cut: bool) -> None:
        """Flush, close and rename; with `cut`, the sound ends with the last frame."""
        with _named_errors(self._path):
            self._output.mux(self._stream.encode(None))
            if self._audio is not None:
                self._audio.write_until(self._end_s if cut else None)
                self._audio.finish()
                self._audio.close()
            self._output.close()
            os.replace(self._partial, self._path)

    def discard(self) -> None:
        """Close and remove the temporary file."""
        if self._audio is not None:
            self._audio.close()
        with suppress(OSError, av.error.FFmpegError):  # the file is thrown away in any case
            self._output.close()
        self._partial.unlink(missing_ok=True)

    def _add_video(self, source: SourceInfo) -> VideoStream:
        codec, options = _CODECS["vp9" if self._path.suffix.lower() == ".webm" else "h264"]
        stream = self._output.add_stream(codec, rate=source.fps, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self._size.width, self._size.height
        stream.pix_fmt = "yuv420p"
        stream.time_base = self._time_base
        context = stream.codec_context
        context.time_base = self._time_base
        context.thread_type = "AUTO"
        context.colorspace = _BT709
        context.color_primaries = _BT709
        context.color_trc = _BT709
        context.color_range = ColorRange.MPEG
        return stream


class GifSink:
    """Writes an animated GIF, a palette of its own for each frame; times are rounded to 1/100 s."""

    def __init__(self, path: Path, source: SourceInfo, size: Size) -> None:
        self.frames = 0
        self._path = path
        self._partial = partial_name(path)
        self._size = size
        self._rate = source.fps
        self._output = _open_output(self._partial, path)
        stream = self._output.add_stream("gif", rate=100)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = size.width, size.height, "pal8"
        stream.codec_context.time_base = Fraction(1, 100)
        self._stream = stream
        self._graph: Graph | None = None
        self._last = -1

    def write(self, frame: Frame) -> None:
        """Encode one frame; a frame that falls on the hundredth of the one before is left out."""
        pts = round(frame.time * 100)
        if pts <= self._last:
            return
        self._last = pts
        picture = VideoFrame.from_ndarray(frame.pixels, format="rgb24")
        picture = picture.reformat(self._size.width, self._size.height)
        picture.pts, picture.time_base = pts, Fraction(1, 100)
        graph = self._graph = self._graph or self._palette(picture)
        graph.push(picture)
        self._drain(graph)
        self.frames += 1

    def finish(self, *, cut: bool) -> None:
        """Flush, close and rename."""
        del cut  # a GIF has no sound
        with _named_errors(self._path):
            if self._graph is not None:
                self._graph.push(None)
                self._drain(self._graph)
            self._output.mux(self._stream.encode(None))
            self._output.close()
            os.replace(self._partial, self._path)

    def discard(self) -> None:
        """Close and remove the temporary file."""
        self._output.close()
        self._partial.unlink(missing_ok=True)

    def _drain(self, graph: Graph) -> None:
        while True:
            try:
                picture = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(picture, VideoFrame)
            with _named_errors(self._path):
                self._output.mux(self._stream.encode(picture))

    def _palette(self, picture: VideoFrame) -> Graph:
        graph = Graph()
        source = graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=Fraction(1, 100),
        )
        split = graph.add("split")
        palette = graph.add("palettegen", "stats_mode=single")
        use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4")
        sink = graph.add("buffersink")
        source.link_to(split)
        split.link_to(palette, 0, 0)
        split.link_to(use, 1, 0)
        palette.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        return graph


class ImageSink:
    """Writes pictures: one file if the name has a picture's suffix, else a folder of
    `frame_000001.png`.

    An existing folder keeps its other files; only the pictures of an earlier run are replaced.
    """

    def __init__(self, path: Path, source: SourceInfo, size: Size) -> None:
        del source
        self.frames = 0
        self._path = path
        self._size = size
        self._single = path.suffix.lower() in IMAGE_SUFFIXES
        self._partial = partial_name(path)
        if not self._single:
            with _named_errors(path):
                self._partial.mkdir()

    def write(self, frame: Frame) -> None:
        """Write one picture."""
        self.frames += 1
        image = Image.fromarray(np.ascontiguousarray(frame.pixels))
        if image.size != (self._size.width, self._size.height):
            image = image.resize((self._size.width, self._size.height), Image.Resampling.BICUBIC)
        target = self._partial
        if not self._single:
            target = self._partial / f"frame_{self.frames:06d}.png"
        with _named_errors(self._path):
            image.save(target, quality=95, compress_level=1)

    def finish(self, *, cut: bool) -> None:
        """Give the picture or folder its final name."""
        del cut
        with _named_errors(self._path):
            if self._single or not self._path.exists():
                os.replace(self._partial, self._path)
                return
            for old in self._path.glob("frame_[0-9]*.png"):
                old.unlink()
            for picture in sorted(self._partial.iterdir()):
                os.replace(picture, self._path / picture.name)
            self._partial.rmdir()

    def discard(self) -> None:
        """Remove what was written."""
        if self._single:
            self._partial.unlink(missing_ok=True)
        else:
            shutil.rmtree(self._partial, ignore_errors=True)


def partial_name(path: Path) -> Path:
    """The temporary name beside `path`; same suffix, so that the container is the same."""
    return path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")


class _named_errors:  # noqa: N801 - reads as a verb at its `with`
    """Turns a failed write (disk full, no permission) into a `UserError` that names the output."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError | av.error.FFmpegError):
            raise UserError(
                f"cannot write {self._path} ({reason(error)}); choose another place with -o"
            ) from error


def _open_output(partial: Path, path: Path) -> OutputContainer:
    options = {"movflags": "+faststart"} if path.suffix.lower() in {".mp4", ".mov"} else {}
    with _named_errors(path):
        partial.touch()  # PyAV opens the file late; this finds a forbidden folder now
        return av.open(partial, "w", options=options)
