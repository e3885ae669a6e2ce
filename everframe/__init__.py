"""Live-stream diffusion: one camera frame in, one restyled frame out, without end."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from everframe.serve.client import connect
    from everframe.stream.session import Session

__all__ = ["Session", "__version__", "connect"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Load `Session` and `connect` on first use, so that importing the package costs nothing."""
    if name == "connect":
        from everframe.serve.client import connect

        return connect
    if name == "Session":
        from everframe.stream.session import Session

        return Session
    raise AttributeError(f"module 'everframe' has no attribute {name!r}")
