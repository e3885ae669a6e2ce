"""Reading and writing real files: times, sound, shapes, formats, faults."""

import re
import shutil
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from everframe.core.errors import UserError
from everframe.stream.files import check_output, default_output, open_sink, open_source
from everframe.stream.files_read import natural_key
from everframe.stream.frame import Frame, Source
from everframe.stream.resize import Size
from tests.stream.clips import (
    FPS,
    HEIGHT,
    WIDTH,
    index_of,
    picture,
    read_clip,
    rotate_clip,
    sound_packets,
    sound_seconds,
    write_clip,
    write_sound,
)

MODEL_SIZE = Size(WIDTH, HEIGHT)


def frames_of(name: Path | str, size: Size = MODEL_SIZE) -> list[Frame]:
    source = open_source(str(name))
    try:
        return list(source.frames(size))
    finally:
        source.close()


def copy(source: Source, path: Path, *, size: Size = MODEL_SIZE, limit: int | None = None) -> None:
    sink = open_sink(path, source.info, size)
    for index, frame in enumerate(source.frames(MODEL_SIZE)):
        if index == limit:
            break
        sink.write(frame)
        assert not path.exists() or path.is_dir()
    sink.finish(cut=limit is not None)
    source.close()


def test_reads_every_frame_in_order_with_its_time(tmp_path: Path) -> None:
    frames = frames_of(write_clip(tmp_path / "a.mp4"))
    assert [index_of(frame.pixels) for frame in frames] == list(range(FPS))
    assert [frame.time for frame in frames] == [Fraction(i, FPS) for i in range(FPS)]
    assert frames[0].pixels.flags.c_contiguous
    assert frames[0].pixels.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_times_of_a_variable_rate_are_kept(tmp_path: Path, suffix: str) -> None:
    ticks = [0, 10, 20, 60, 61, 90, 200]
    clip = write_clip(tmp_path / f"a{suffix}", frames=len(ticks), ticks=ticks)
    copy(open_source(str(clip)), tmp_path / f"b{suffix}")
    _, times = read_clip(tmp_path / f"b{suffix}")
    assert times == [Fraction(tick, 240) for tick in ticks]


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_millisecond_containers_keep_times_to_a_millisecond(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=7, ticks=[0, 10, 20, 60, 65, 90, 200])
    copy(open_source(str(clip)), tmp_path / f"b{suffix}")
    _, times = read_clip(tmp_path / f"b{suffix}")
    wanted = [Fraction(tick, 240) for tick in (0, 10, 20, 60, 65, 90, 200)]
    assert all(abs(a - b) <= Fraction(1, 1000) for a, b in zip(times, wanted, strict=True))


def test_broken_clocks_still_rise(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", codec="mjpeg", pix_fmt="yuvj420p")
    source = open_source(str(clip))
    for packet_time in (f.time for f in source.frames(MODEL_SIZE)):
        assert packet_time >= 0
    stream = write_clip(tmp_path / "a.h264")  # an elementary stream has neither times nor a length
    times = [frame.time for frame in frames_of(stream)]
    assert len(times) == FPS
    assert all(a < b for a, b in pairwise(times))


def test_colours_survive_reading_and_writing(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=6)
    copy(open_source(str(clip)), tmp_path / "b.mp4")
    copy(open_source(str(tmp_path / "b.mp4")), tmp_path / "c.mp4")
    first, last = frames_of(tmp_path / "a.mp4")[3], frames_of(tmp_path / "c.mp4")[3]
    for frame in (first, last):
        assert np.abs(frame.pixels[8, 8].astype(int) - (220, 30, 30)).max() <= 6
        assert np.abs(frame.pixels[40, 50].astype(int) - 64).max() <= 3


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("grey.mkv", "ffv1", "gray"),
        ("alpha.mov", "png", "rgba"),
        ("ten.mkv", "ffv1", "yuv420p10le"),
        ("full.mkv", "mjpeg", "yuvj420p"),
        ("wide.mkv", "ffv1", "yuv444p"),
        ("rgb.mkv", "ffv1", "bgr0"),
    ],
)
def test_pixel_formats_become_rgb(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    frames = frames_of(write_clip(tmp_path / name, frames=4, codec=codec, pix_fmt=pix_fmt))
    assert [index_of(frame.pixels) for frame in frames] == [0, 1, 2, 3]
    if pix_fmt != "gray":
        assert np.abs(frames[0].pixels[8, 8].astype(int) - (220, 30, 30)).max() <= 8


def test_odd_sizes_are_read_whole_and_written_even(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", frames=3, size=(63, 47), codec="ffv1", pix_fmt="yuv444p")
    source = open_source(str(clip))
    assert source.info.size == Size(63, 47)
    copy(source, tmp_path / "b.mp4", size=source.info.size)
    pictures, _ = read_clip(tmp_path / "b.mp4")
    assert pictures[0].shape == (46, 62, 3)


def test_rotated_clips_are_turned_upright(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=3)
    rotate_clip(clip)
    source = open_source(str(clip))
    assert source.info.size == Size(HEIGHT, WIDTH)
    frame = next(source.frames(Size(HEIGHT, WIDTH)))
    source.close()
    assert frame.pixels.shape == (WIDTH, HEIGHT, 3)
    red = frame.pixels[..., 0].astype(int) - frame.pixels[..., 1]
    assert red[: WIDTH // 2 - 4, HEIGHT // 2 + 4 :].min() > 150  # top left went to top right
    assert red[:, : HEIGHT // 2 - 4].max() < 20


def test_sound_is_copied_bit_for_bit(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", sound="aac")
    copy(open_source(str(clip)), tmp_path / "b.mp4")
    assert sound_packets(tmp_path / "b.mp4") == sound_packets(clip)


@pytest.mark.parametrize(
    ("name", "sound", "out"),
    [
        ("a.mkv", "pcm_s16le", "b.mp4"),
        ("a.mkv", "libopus", "b.mp4"),
        ("a.mp4", "aac", "b.webm"),
        ("a.ts", "aac", "b.mp4"),
        ("a.ts", "aac", "b.mkv"),
        ("a.mkv", "pcm_s16le", "b.mkv"),
    ],
)
def test_sound_survives_a_change_of_container(
    tmp_path: Path, name: str, sound: str, out: str
) -> None:
    clip = write_clip(tmp_path / name, sound=sound)
    copy(open_source(str(clip)), tmp_path / out)
    assert sound_seconds(tmp_path / out) == pytest.approx(sound_seconds(clip), abs=0.08)
    pictures, times = read_clip(tmp_path / out)
    assert len(pictures) == FPS
    assert float(times[-1]) == pytest.approx((FPS - 1) / FPS, abs=0.002)


def test_sound_ends_with_the_pictures_when_cut(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=48, sound="aac")
    copy(open_source(str(clip)), tmp_path / "b.mp4", limit=12)
    assert sound_seconds(tmp_path / "b.mp4") == pytest.approx(0.5, abs=0.06)


def test_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mov", frames=8, codec="png", pix_fmt="rgb24")
    data = bytearray(clip.read_bytes())
    starts = [match.start() for match in re.finditer(b"\x89PNG", data)]
    assert len(starts) == 8
    data[starts[3] : starts[3] + 4] = b"junk"
    clip.write_bytes(data)
    source = open_source(str(clip))
    kept = [index_of(frame.pixels) for frame in source.frames(MODEL_SIZE)]
    source.close()
    assert kept == [0, 1, 2, 4, 5, 6, 7]
    assert source.skipped == 1


def test_a_truncated_file_gives_the_frames_it_has(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", frames=24)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 2 // 3])
    assert 0 < len(frames_of(clip)) < 24


def test_folders_are_read_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in (10, 2, 1):
        Image.fromarray(picture(index)).save(folder / f"shot{index}.png")
    (folder / "shot3.png").write_bytes(b"broken")
    (folder / "notes.txt").write_text("not a picture")
    source = open_source(str(folder), fps=Fraction(10))
    frames = list(source.frames(MODEL_SIZE))
    assert [index_of(frame.pixels) for frame in frames] == [1, 2, 10]
    assert [frame.time for frame in frames] == [0, Fraction(1, 10), Fraction(3, 10)]
    assert source.skipped == 1
    assert sorted(["a10", "A2", "b1"], key=natural_key) == ["A2", "a10", "b1"]


def test_pictures_out(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=3)
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep")
    (folder / "frame_000009.png").write_bytes(b"of an earlier run")
    copy(open_source(str(clip)), folder)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["frame_000001.png", "frame_000002.png", "frame_000003.png", "mine.txt"]
    with Image.open(folder / "frame_000002.png") as image:
        assert index_of(np.asarray(image)) == 1


def test_one_picture_in_one_picture_out(tmp_path: Path) -> None:
    Image.fromarray(picture(5)).save(tmp_path / "a.jpg", quality=95)
    source = open_source(str(tmp_path / "a.jpg"))
    assert source.info.still
    assert source.info.frames == 1
    copy(source, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert index_of(np.asarray(image)) == 5


def test_gif_keeps_frames_and_length(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=12)
    copy(open_source(str(clip)), tmp_path / "b.gif")
    pictures, times = read_clip(tmp_path / "b.gif")
    levels = [float(pixels[36, 48].mean()) for pixels in pictures]
    assert levels == pytest.approx([40 + 8 * index for index in range(12)], abs=5)  # 256 colours
    assert float(times[-1]) == pytest.approx(11 / FPS, abs=0.011)


def test_upscaling_writes_the_size_of_the_source(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=2, size=(128, 96))
    copy(open_source(str(clip)), tmp_path / "b.mp4", size=Size(128, 96))
    assert read_clip(tmp_path / "b.mp4")[0][0].shape == (96, 128, 3)


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", frames=3, sound="aac")
    for name in ("b.mp4", "b.gif", "folder", "b.webm"):
        source = open_source(str(clip))
        sink = open_sink(tmp_path / name, source.info, MODEL_SIZE)
        sink.write(next(source.frames(MODEL_SIZE)))
        assert len(list(tmp_path.iterdir())) == 2
        sink.discard()
        source.close()
        assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_inputs_that_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    (tmp_path / "text.txt").write_text("hello\n" * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    write_sound(tmp_path / "sound.m4a")
    faults = {
        "missing.mp4": "no file",
        "text.mp4": "cannot read text.mp4 as video",
        "text.txt": "text.txt",
        "empty.mp4": "cannot read empty.mp4 as video",
        "folder": "holds no pictures",
        "sound.m4a": "holds only sound",
    }
    for name, fault in faults.items():
        with pytest.raises(UserError, match=fault):
            open_source(str(tmp_path / name))
    with pytest.raises(UserError, match="camera 97"):
        open_source("camera:97")


def test_a_video_without_frames(tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    with av.open(path, "w") as output:
        stream = output.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        output.start_encoding()
    with pytest.raises(UserError, match="holds no"):
        open_source(str(path))


def test_outputs_are_checked_before_work(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=2)
    (tmp_path / "there.mp4").touch()
    shutil.copy(clip, tmp_path / "copy.mp4")
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.mp4").mkdir()
    faults = {
        ".": "is not empty; add --overwrite",
        "folder.mp4": "is a folder but named as a file",
        "new.png/": "is a folder but named as a file",
        "b": "no known suffix",
        "b.avi": "no known suffix",
        "nowhere/b.mp4": "does not exist",
        "there.mp4": "--overwrite",
        "a.mp4": "is the input",
    }
    for name, fault in faults.items():
        with pytest.raises(UserError, match=fault):
            check_output(f"{tmp_path}/{name}", str(clip), overwrite=False)
    with pytest.raises(UserError, match="is the input"):
        check_output(str(clip), str(clip), overwrite=True)
    assert check_output(str(tmp_path / "there.mp4"), str(clip), overwrite=True).exists()
    for name in ("b.mp4", "new/", "empty"):
        check_output(
            str(tmp_path / name).rstrip("/") + "/" * name.endswith("/"), "", overwrite=False
        )
    source = open_source(str(clip))
    with pytest.raises(UserError, match="is one picture"):
        open_sink(tmp_path / "b.png", source.info, MODEL_SIZE)
    blocked = tmp_path / "there.mp4" / "b.mp4"  # below a file: no folder to write in
    with pytest.raises(UserError, match="cannot write"):
        open_sink(blocked, source.info, MODEL_SIZE)
    source.close()


def test_default_names(tmp_path: Path) -> None:
    info = open_source(str(write_clip(tmp_path / "my clip.mp4", frames=1))).info
    assert default_output(info, "Neon: night!") == "my clip-neon-night.mp4"
    assert default_output(info, "墨絵") == "my clip-墨絵.mp4"
    assert len(default_output(info, "very " * 100)) < 60
