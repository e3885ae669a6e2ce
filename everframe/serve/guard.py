"""Who may talk to the server: Host, Origin and token are checked before anything else."""

from __future__ import annotations

import hmac
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from everframe.core.errors import UserError
from everframe.serve.protocol import TOKEN_SUBPROTOCOL

OPEN_PATHS = ("/static/", "/api/looks/", "/healthz", "/readyz", "/version")
"""Readable without a token: the page itself and the probes."""
OPEN_PAGES = ("/", "/view")
POLICY_VIOLATION = 1008
TOKEN = re.compile(r"[A-Za-z0-9._~-]{0,128}")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What is allowed: names in the Host header (empty: any), further origins, and the token."""

    hosts: tuple[str, ...] = LOOPBACK_NAMES
    origins: tuple[str, ...] = ()
    token: str = ""

    @staticmethod
    def of(host: str, token: str, names: tuple[str, ...], origins: tuple[str, ...]) -> Access:
        """For a server that listens on `host`.

        Raises:
            UserError: reachable from elsewhere, and no token; or a token that no header can carry.
        """
        if not TOKEN.fullmatch(token):
            raise UserError("--token may have letters, digits and . _ ~ - only, at most 128")
        if is_loopback(host):
            return Access(hosts=(*LOOPBACK_NAMES, host, *names), origins=origins, token=token)
        if not token:
            raise UserError(
                f"{host} can be reached from other machines: give --token SECRET "
                "(or EVERFRAME_TOKEN) too, or listen on 127.0.0.1"
            )
        any_address = host in ("0.0.0.0", "::")
        return Access(
            hosts=() if any_address and not names else (*LOOPBACK_NAMES, host, *names),
            origins=origins,
            token=token,
        )

    def refusal(self, headers: Headers, path: str) -> str:
        """Why a request is refused; empty if it is not."""
        host = headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if self.hosts and name not in self.hosts:
            return f"host {name[:80]!r} is not served here; see --allow-host"
        origin = headers.get("origin")
        if origin and urlsplit(origin).netloc != host and origin not in self.origins:
            return f"origin {origin[:80]!r} is not allowed; see --allow-origin"
        if self.token and not path.startswith(OPEN_PATHS) and path not in OPEN_PAGES:
            given = token_of(headers)
            if not hmac.compare_digest(given.encode(), self.token.encode()):
                return "token missing or wrong; open the address that the server printed"
        return ""


def token_of(headers: Headers) -> str:
    """The token of a request: `Authorization: Bearer`, or a WebSocket subprotocol `token.<it>`."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    offered = [part.strip() for part in headers.get("sec-websocket-protocol", "").split(",")]
    found = [part for part in offered if part.startswith(TOKEN_SUBPROTOCOL)]
    return found[0].removeprefix(TOKEN_SUBPROTOCOL) if found else ""


class Guard:
    """ASGI middleware around `Access`; also tells browsers to keep other pages out."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """Guard `app`."""
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        why = self._access.refusal(Headers(scope=scope), scope["path"])
        if not why:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            status = 401 if why.startswith("token") else 403
            await PlainTextResponse(why + "\n", status)(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": why})
