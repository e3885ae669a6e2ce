"""Bit rates of video, and how a browser is told of them; for either WebRTC package."""

from __future__ import annotations

START_BITRATE, MAX_BITRATE = 2_500_000, 8_000_000
LEAST_BITRATE, BITS_PER_PIXEL = 1_000_000, 1 / 3
FPS = 30


def needed_bitrate(width: int, height: int) -> int:
    """Bits per second beyond which a picture of this size gains little; each packet more is one
    more that can be lost.
    """
    wanted = int(BITS_PER_PIXEL * width * height * FPS)
    return max(LEAST_BITRATE, min(wanted, MAX_BITRATE))


def with_start_bitrate(sdp: str) -> str:
    """An answer that tells Chromium to begin with `START_BITRATE` instead of a small picture."""
    lines: list[str] = []
    kilobits = START_BITRATE // 1000
    wish = f"x-google-start-bitrate={kilobits};x-google-max-bitrate={MAX_BITRATE // 1000}"
    video: list[str] = []
    for line in sdp.splitlines():
        if line.startswith("m="):
            video = line.split()[3:] if line.startswith("m=video") else []
        payload = line.partition(":")[2].split(" ")[0]
        if payload in video and line.startswith("a=fmtp:") and "apt=" not in line:
            line = f"{line};{wish}"
        lines.append(line)
        if payload in video and line.startswith("a=rtpmap:") and " VP8/" in line:
            lines.append(f"a=fmtp:{payload} {wish}")
    return "\r\n".join(lines) + "\r\n"


def with_candidates(sdp: str, candidates: list[tuple[str, str]]) -> str:
    """A description with the candidates (mid, text) that were found for it, in their media."""
    lines: list[str] = []
    sections = sdp.split("\r\nm=")
    for number, section in enumerate(sections):
        head = section if number == 0 else f"m={section}"
        lines += head.rstrip("\r\n").split("\r\n")
        mid = next((line[6:] for line in head.split("\r\n") if line.startswith("a=mid:")), None)
        mine = [f"a={text}" for of, text in candidates if of == mid]
        lines += [*mine, "a=end-of-candidates"] if mine else []
    return "\r\n".join(lines) + "\r\n"
