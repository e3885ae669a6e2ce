"""`everframe live`: a page that restyles a camera, on this machine, and for OBS."""

import argparse
import logging
import os
import sys
import webbrowser
from typing import TypeVar

from everframe.cli.verb import Subparsers
from everframe.core.errors import UserError
from everframe.serve import rtc_choice
from everframe.serve.broadcast import Broadcast
from everframe.serve.host import Limits
from everframe.serve.models import Models
from everframe.serve.outgoing import Outgoing
from everframe.serve.server import Address, JsonLines, Server
from everframe.stream.resize import parse_size

EXAMPLES = """\
examples:
  everframe live                        open the page, allow the camera, type a prompt
  everframe live --model studio --size 256x256
  everframe live --host 0.0.0.0 --token SECRET       for other machines in your network
  everframe live --out rtmp://live.example/app/KEY   to a streaming service as well
  everframe live --virtual-camera        a camera for video calls on this machine
  everframe live --engine identity      no model: how long does the way take?

OBS, in three steps: open the page and start the camera; copy the OBS address from its side bar;
in OBS add a Browser Source with that address. docs/live.md tells more.

Every option can be set in the environment too: EVERFRAME_PORT=8000 is --port 8000,
EVERFRAME_LOG_JSON=1 is --log-json, EVERFRAME_ALLOW_HOST="a.example b.example" names two hosts.
"""
PREFIX = "EVERFRAME_"
T = TypeVar("T", str, int, float)


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "live",
        help="restyle live in the browser and for OBS",
        description="Serve a page on this machine that restyles your camera, screen or a file as "
        "it plays, and says how old each picture is. Nothing leaves the machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_address(parser)
    what = parser.add_argument_group("what")
    what.add_argument("--model", default=_env("model", "pocket"), help="name or folder (pocket)")
    what.add_argument("--engine", default=_env("engine", "auto"), help="what runs it (auto)")
    what.add_argument(
        "--precision", default=_env("precision", "auto"), help="auto, float32, bfloat16, int8"
    )
    what.add_argument(
        "--size",
        default=_env("size", "288x224"),
        metavar="WxH",
        help="of the model's pictures, multiples of 16 (288x224)",
    )
    _add_outputs(parser)
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--sessions",
        type=int,
        default=_env("sessions", 4),
        metavar="N",
        help="at once; others wait in a queue (4)",
    )
    limits.add_argument(
        "--deadline-ms",
        type=float,
        default=_env("deadline_ms", 150.0),
        metavar="MS",
        help="age that a picture should not pass: then fewer steps, or the last one again (150)",
    )
    limits.add_argument(
        "--idle-s",
        type=float,
        default=_env("idle_s", 300.0),
        metavar="S",
        help="end a session that sends nothing for so long; 0: never (300)",
    )
    limits.add_argument(
        "--session-s",
        type=float,
        default=_env("session_s", 0.0),
        metavar="S",
        help="end any session after so long; 0: never (0)",
    )
    parser.add_argument(
        "--log-json",
        action="store_true",
        default=bool(_env("log_json", 0)),
        help="log as JSON lines",
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("where the pictures go besides")
    where.add_argument(
        "--out",
        default=_env("out", ""),
        metavar="URL",
        help="send the first session's pictures there too: rtmp://..., srt://..., udp://..., or a "
        "file ending in .mkv, .ts or .flv (no sound)",
    )
    where.add_argument(
        "--virtual-camera",
        nargs="?",
        const="",
        default=_env("virtual_camera", "") or None,
        metavar="DEVICE",
        help="be a camera of this machine, too, for video calls (v4l2loopback on Linux, OBS's on "
        "Windows and macOS)",
    )


def _add_address(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("where")
    where.add_argument("--host", default=_env("host", "127.0.0.1"), help="to listen on (127.0.0.1)")
    where.add_argument(
        "--port", type=int, default=_env("port", 7860), help="0: any free one (7860)"
    )
    where.add_argument(
        "--token",
        default=_env("token", ""),
        help="what visitors must know; needed where other machines can come",
    )
    where.add_argument(
        "--allow-host",
        action="append",
        default=_env("allow_host", "").split(),
        metavar="NAME",
        help="a further name of this server, as behind a proxy; may be repeated",
    )
    where.add_argument(
        "--allow-origin",
        action="append",
        default=_env("allow_origin", "").split(),
        metavar="URL",
        help="a page elsewhere that may connect; may be repeated",
    )
    where.add_argument(
        "--rtc",
        default=_env("rtc", rtc_choice.AUTO),
        metavar="PACKAGE",
        help="for WebRTC: aiortc, reactor, or auto: the better one that is installed (auto)",
    )
    where.add_argument(
        "--no-open",
        action="store_true",
        default=bool(_env("no_open", 0)),
        help="do not open the browser",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C.

    Raises:
        UserError: no such model, port taken, or a bind that needs a token.
    """
    handler = logging.StreamHandler(sys.stderr)
    if args.log_json:
        handler.setFormatter(JsonLines())
    logging.getLogger("everframe").addHandler(handler)
    logging.getLogger("everframe").setLevel(logging.INFO if args.log_json else logging.WARNING)
    if args.sessions < 1:
        raise UserError("--sessions must be at least 1")
    size = parse_size(args.size)
    outgoing: list[Outgoing] = [Broadcast(args.out, size)] if args.out else []
    if args.virtual_camera is not None:
        from everframe.serve.virtual_camera import VirtualCamera

        outgoing.append(VirtualCamera(size, args.virtual_camera or None))
    server = Server(
        Models(args.model, args.engine, args.precision),
        Address(
            host=args.host,
            port=args.port,
            token=args.token,
            names=tuple(args.allow_host),
            origins=tuple(args.allow_origin),
        ),
        Limits(
            sessions=args.sessions,
            deadline_ms=args.deadline_ms,
            idle_s=args.idle_s,
            session_s=args.session_s,
        ),
        size,
        outgoing,
        args.rtc,
    )

    def ready() -> None:
        engine = server.house.engine
        print(f"everframe live  {args.model}, {engine}, {args.size}  (Ctrl-C ends it)", flush=True)
        print(f"  page      {server.open_url}", flush=True)
        print(f"  figures   {server.url}/metrics", flush=True)
        if not args.no_open:
            webbrowser.open(server.open_url)

    print("opening the model ...", flush=True)
    server.run(ready)
    print("\nstopped", flush=True)
    return 0


def _env(name: str, default: T) -> T:
    """A default from the environment, of the type of `default`."""
    text = os.environ.get(PREFIX + name.upper())
    if text is None:
        return default
    try:
        return type(default)(text)
    except ValueError:
        raise UserError(f"{PREFIX}{name.upper()}={text!r} is no {type(default).__name__}") from None
