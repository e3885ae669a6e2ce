"""Which of the two WebRTC packages makes a connection."""

from __future__ import annotations

from importlib.util import find_spec

from everframe.core.errors import UserError

AIORTC, REACTOR, AUTO = "aiortc", "reactor", "auto"
WISHES = (AUTO, AIORTC, REACTOR)
PACKAGES = {AIORTC: ("aiortc", "webrtc"), REACTOR: ("reactor_webrtc", "webrtc-native")}
"""Name -> its module and the extra that installs it."""
REACTOR_CODECS = ("VP8", "VP9", "AV1")


def installed() -> tuple[str, ...]:
    """The names of those that can be had."""
    return tuple(name for name, (module, _) in PACKAGES.items() if find_spec(module))


def checked(wish: str) -> str:
    """The wish, if it can be fulfilled.

    Raises:
        UserError: there is no such package, or it is not installed.
    """
    if wish not in WISHES:
        raise UserError(f"--rtc {wish}: choose one of {', '.join(WISHES)}")
    if wish != AUTO and wish not in installed():
        raise UserError(f"{wish} is not installed: pip install 'everframe[{PACKAGES[wish][1]}]'")
    return wish


def package_for(wish: str, role: str, sdp: str) -> str:
    """The package for a connection that is offered. Of itself it is reactor, which brings pictures
    to a browser sooner (docs/live.md); WHIP and WHEP, and who offers H.264 only, get aiortc.

    Raises:
        UserError: that is not installed.
    """
    if role in ("whip", "whep"):
        return checked(AIORTC)
    if wish != AUTO:
        return wish
    can = REACTOR in installed() and any(f" {name}/90000" in sdp for name in REACTOR_CODECS)
    return REACTOR if can else checked(AIORTC)
