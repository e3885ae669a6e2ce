"""The restyled pictures of one session out of the server: RTMP, SRT, UDP, TCP, or a file."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import time
from urllib.parse import urlsplit

import av
import av.error

from everframe.core.errors import UserError
from everframe.serve.outgoing import FPS, Outgoing
from everframe.serve.sender import BITRATE, KEY_S
from everframe.stream.resize import Size

log = logging.getLogger("everframe.serve")
RETRY_S = (1.0, 2.0, 5.0, 10.0)
END_S = 5.0
"""What a sender gets to finish its file when the server stops."""
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


def has_srt() -> bool:
    """Whether PyAV was built with SRT; its wheels are not."""
    try:
        av.open("srt://").close()
    except av.error.ProtocolNotFoundError:
        return False
    except (OSError, av.error.FFmpegError):
        pass  # no address was named
    return True


def shown(target: str) -> str:
    """An address without its path, which for streaming services is a secret key."""
    parts = urlsplit(target)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else target


class Broadcast(Outgoing):
    """Sends the newest picture 25 times a second through a process of its own (`serve.sender`).
    A lost connection is tried again.
    """

    def __init__(self, target: str, size: Size) -> None:
        """To an address or a file; pictures of (width, height) `size`.

        Raises:
            UserError: see `format_of`; or SRT, and neither PyAV nor an `ffmpeg` for it.
        """
        super().__init__("out", size)
        self._target, self._format = target, format_of(target) or ""
        self._relay = ""
        if target.startswith("srt://") and not has_srt():
            self._relay = shutil.which("ffmpeg") or ""
            if not self._relay:
                raise UserError("--out srt:// needs the program ffmpeg: apt-get install ffmpeg")
        self._sender: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Send until `stop`, opening anew after a failure."""
        tries = 0
        while not self.over.is_set():
            before = self.frames
            log.warning("sending to %s", shown(self._target))
            why = self._send()
            if self.over.is_set():
                return
            tries = 0 if self.frames - before > 250 else tries
            pause = RETRY_S[min(tries, len(RETRY_S) - 1)]
            tries += 1
            log.warning("%s: %s; again in %.0f s", shown(self._target), why, pause)
            self.over.wait(pause)

    def stop(self) -> None:
        """Finish; a sender that does not end is ended."""
        self.over.set()
        if self.is_alive():
            self.join(END_S)
        if self._sender is not None and self._sender.poll() is None:
            self._sender.kill()
        super().stop()

    def _send(self) -> str:
        """One sender from its start to its end; why it ended."""
        child = subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._sender = child
        assert child.stdin is not None
        begin, sent = time.monotonic(), 0
        with child:
            try:
                while not self.over.is_set():
                    child.stdin.write(self.newest().tobytes())
                    child.stdin.flush()
                    sent += 1
                    self.frames += 1
                    self.wait(begin, sent)
            except OSError:  # it ended
                pass
            _, said = child.communicate()
        return said.decode(errors="replace").strip().rpartition("\n")[2] or "no answer"

    def _command(self) -> list[str]:
        size = f"{self.size.width}x{self.size.height}"
        if not self._relay:
            module = "everframe.serve.sender"
            return [sys.executable, "-m", module, self._target, size, self._format]
        came = f"-f rawvideo -pixel_format rgb24 -video_size {size} -framerate {FPS} -i pipe:0"
        coded = f"-c:v libx264 -preset veryfast -tune zerolatency -g {KEY_S * FPS} -b:v {BITRATE}"
        words = f"-loglevel error -use_wallclock_as_timestamps 1 {came} {coded} -pix_fmt yuv420p"
        return [self._relay, *words.split(), "-f", self._format, self._target]
