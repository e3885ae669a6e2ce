"""Opening what to read and to write by name; a fault of a name is found here, before any work."""

import re
from fractions import Fraction
from pathlib import Path

from everframe.core.errors import UserError
from everframe.stream.files_read import (
    FALLBACK_FPS,
    IMAGE_SUFFIXES,
    ImageSource,
    open_camera,
    open_video,
)
from everframe.stream.files_write import VIDEO_SUFFIXES, GifSink, ImageSink, VideoSink
from everframe.stream.frame import Sink, Source, SourceInfo
from everframe.stream.resize import Size

_SLUG_CHARS = 40


def open_source(name: str, *, fps: Fraction = FALLBACK_FPS) -> Source:
    """Open a video file, a picture, a folder of pictures, a stream address, or a camera.

    Args:
        name: a path, `camera:0`, or an address such as `rtsp://host/stream`.
        fps: frames per second of a folder of pictures; everything else has its own times.

    Raises:
        UserError: nothing there, or no frames in it.
    """
    if name.startswith("camera:"):
        return open_camera(name.removeprefix("camera:") or "0")
    if "://" in name:
        return open_video(name)
    path = Path(name).expanduser()
    if not path.exists():
        raise UserError(f"no file {name}; give a video, a folder of pictures, or camera:0")
    if path.is_dir():
        return ImageSource(path, fps=fps)
    return open_video(str(path))


def check_output(name: str, source: str, *, overwrite: bool) -> Path:
    """Return the output path after checking all that can be checked before work starts.

    Args:
        name: path as given; a trailing slash or an existing folder means a folder of pictures.
        source: what is read, which must not be overwritten.
        overwrite: whether an existing output may be replaced.

    Raises:
        UserError: unknown suffix, folder missing, output exists, or it is the input.
    """
    path = Path(name).expanduser()
    folder = name.endswith(("/", "\\")) or path.is_dir()
    known = (*VIDEO_SUFFIXES, ".gif", *sorted(IMAGE_SUFFIXES))
    if not folder and path.suffix.lower() not in known:
        raise UserError(
            f"output {name} has no known suffix; use {' '.join(VIDEO_SUFFIXES)} .gif, or end "
            "the name with / for a folder of pictures"
        )
    if folder and path.suffix.lower() in known:
        raise UserError(
            f"{name} is a folder but named as a file; give another folder for pictures, or a file "
            f"such as {name.rstrip('/')}/result.mp4"
        )
    if not path.parent.is_dir():
        raise UserError(f"folder {path.parent} does not exist; create it or choose another output")
    if path.exists():
        if Path(source).exists() and path.samefile(Path(source)):
            raise UserError(f"output {name} is the input; choose another name with -o")
        if folder and not overwrite and any(path.iterdir()):
            raise UserError(
                f"folder {name} is not empty; add --overwrite to put pictures into it, or give a "
                f"file such as {Path(name) / 'result.mp4'}"
            )
        if not overwrite and not folder:
            raise UserError(f"{name} exists; add --overwrite to replace it, or choose another -o")
    return path


def open_sink(path: Path, source: SourceInfo, size: Size) -> Sink:
    """Open an output that `check_output` approved; the suffix chooses the kind.

    Raises:
        UserError: the place cannot be written, or one picture is asked for many frames.
    """
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return VideoSink(path, source, size)
    if suffix == ".gif":
        return GifSink(path, source, size)
    if suffix in IMAGE_SUFFIXES and not source.still and source.frames != 1:
        raise UserError(
            f"{path} is one picture, but the input has more frames; end the name with / for a "
            "folder of pictures, use .mp4, or add --limit 1"
        )
    return ImageSink(path, source, size)


def default_output(source: SourceInfo, prompt: str) -> str:
    """Return `<stem>-<prompt>.mp4` (a picture: `.png`), for the current folder."""
    stem = Path(source.name).stem
    words = re.sub(r"[^\w]+", "-", prompt.lower()).strip("-_")[:_SLUG_CHARS].rstrip("-")
    return f"{stem}-{words or 'restyled'}{'.png' if source.still else '.mp4'}"
