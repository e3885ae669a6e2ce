"""Which of the two WebRTC packages makes a connection."""

from __future__ import annotations

from importlib.util import find_spec

from everframe.core.errors import UserError

AIORTC, REACTOR, AUTO = "aiortc", "reactor", "auto"
WISHES = (AUTO, AIORTC, REACTOR)
PACKAGES = {AIORTC: ("aiortc", "webrtc"), REACTOR: ("reactor_webrtc", "webrtc-native")}
"""Name -> its module and the extra that installs it."""


def installed() -> tuple[str, ...]:
    """The names of those that can be had, the one that is usually taken first."""
    return tuple(name for name, (module, _) in PACKAGES.items() if find_spec(module))


def checked(wish: str) -> str:
    """The wish, if it can be fulfilled.

    Raises:
        UserError: there is no such package, or it is not installed.
    """
    if wish not in WISHES:
        raise UserError(f"--rtc {wish}: choose one of {', '.join(WISHES)}")
    if wish != AUTO and wish not in installed():
        raise UserError(f"--rtc {wish} needs: pip install 'everframe[{PACKAGES[wish][1]}]'")
    return wish


def package_for(wish: str, role: str) -> str:
    """The package for a connection. WHIP and WHEP are aiortc's: OBS sends H.264.

    Raises:
        UserError: it is not installed.
    """
    if role in ("whip", "whep"):
        return checked(AIORTC)
    return installed()[0] if wish == AUTO else wish
