"""Runs the application on a real port, in the foreground or beside the caller."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import uvicorn

from everframe.core.errors import UserError
from everframe.serve import rtc_choice
from everframe.serve.admission import Admission
from everframe.serve.app import build_app
from everframe.serve.guard import Access
from everframe.serve.host import Limits, SessionHost
from everframe.serve.house import House
from everframe.serve.models import Models
from everframe.serve.outgoing import Outgoing
from everframe.serve.wire import HEADER, PAYLOAD_BYTES
from everframe.stream.resize import Size

DRAIN_S = 5
"""Seconds that open connections get to end when the server stops."""
PING_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen, and who may come. `port` 0: any free one."""

    host: str = "127.0.0.1"
    port: int = 7860
    token: str = ""
    names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


class Server:
    """A live server. `run` blocks until Ctrl-C; `start` and `stop` run it in a thread."""

    def __init__(
        self,
        models: Models,
        address: Address,
        limits: Limits,
        size: Size,
        outgoing: Sequence[Outgoing] = (),
        rtc: str = rtc_choice.AUTO,
    ) -> None:
        """Bind the port; nothing is answered before `run` or `start`. `outgoing`: where pictures
        of a session go besides; `rtc`: the package for WebRTC.

        Raises:
            UserError: the port is taken, the host cannot be bound, or a token or the package is
                missing.
        """
        rtc_choice.checked(rtc)
        self._outgoing = tuple(outgoing)
        access = Access.of(address.host, address.token, address.names, address.origins)
        self._socket = _listen(address.host, address.port)
        port = int(self._socket.getsockname()[1])
        shown = "127.0.0.1" if address.host in ("0.0.0.0", "::") else address.host
        shown = f"[{shown}]" if ":" in shown else shown
        self.url = f"http://{shown}:{port}"
        self.house = House(
            host=SessionHost(models, limits),
            admission=Admission(limits.sessions, limits.waiting),
            size=size,
            public_url=self.url,
            outlets=self._outgoing,
            rtc=rtc,
        )
        config = uvicorn.Config(
            build_app(self.house, access),
            log_config=None,
            access_log=False,
            ws="websockets-sansio",
            ws_max_size=PAYLOAD_BYTES + HEADER.size,
            ws_ping_interval=PING_S,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=DRAIN_S,
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None
        fragment = f"#token={address.token}" if address.token else ""
        self.open_url = f"{self.url}/{fragment}"

    def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until interrupted; `on_ready` is called once visitors can come.

        Raises:
            UserError: no such engine or precision, or not at this size.
        """
        self._warm()
        threading.Thread(target=self._announce, args=(on_ready,), daemon=True).start()
        self._serve()

    def start(self, timeout_s: float = 60.0) -> None:
        """Serve in a thread; returns once visitors can come.

        Raises:
            UserError: see `run`; or it did not start in time.
        """
        self._warm()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        until = time.monotonic() + timeout_s
        while not self._server.started:
            if time.monotonic() > until or not self._thread.is_alive():
                raise UserError("the server did not start; run everframe live --debug to see why")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the thread that `start` began."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()

    def _warm(self) -> None:
        """The first visitor shall not wait; and what is wrong is said here, not in a log."""
        try:
            self.house.host.models.warm(self.house.size.width, self.house.size.height)
        except UserError:
            self._socket.close()
            raise

    def _serve(self) -> None:
        for outlet in self._outgoing:
            outlet.start()
        try:
            self._server.run(sockets=[self._socket])
        finally:
            for outlet in self._outgoing:
                outlet.stop()

    def _announce(self, on_ready: Callable[[], None]) -> None:
        while not self._server.started:
            time.sleep(0.05)
        on_ready()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with the protocol named, asyncio turns Nagle's algorithm off: it would hold pictures for 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UserError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port"
        ) from None
    return listener


class JsonLines(logging.Formatter):
    """Log records as JSON lines: no prompts, no pictures, nothing of the visitor but an id."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "t": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)
