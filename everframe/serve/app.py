"""The web application: routes, and what happens at start and end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

import everframe
from everframe.arch.bundle import bundled_models
from everframe.serve import protocol, rtc_choice
from everframe.serve.guard import Access, Guard
from everframe.serve.house import House
from everframe.serve.models import Look
from everframe.serve.socket import Connection

STATIC = Path(__file__).with_name("static")
TIDY_S = 1.0
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self' ws: wss:; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'self'"
)
SAFE_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Pages:
    """The answers over plain HTTP."""

    def __init__(self, house: House, access: Access) -> None:
        """Of a server."""
        self._house, self._access = house, access
        self._looks = {look.name: look for look in house.host.models.looks()}

    async def page(self, request: Request) -> Response:
        """The page itself, or the bare view for OBS."""
        name = "view.html" if request.url.path == "/view" else "index.html"
        return FileResponse(STATIC / name, headers=SAFE_HEADERS)

    async def info(self, _: Request) -> Response:
        """What the server offers."""
        return JSONResponse(describe(self._house, self._access))

    async def looks(self, _: Request) -> Response:
        """The looks that the model knows."""
        return JSONResponse([_look(look) for look in self._looks.values()])

    async def thumbnail(self, request: Request) -> Response:
        """The picture of a look."""
        look = self._looks.get(request.path_params["name"])
        if look is None or look.thumbnail is None:
            return PlainTextResponse("no such picture\n", 404)
        return FileResponse(look.thumbnail, headers={"Cache-Control": "max-age=86400"})

    async def healthz(self, _: Request) -> Response:
        """The process lives."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Request) -> Response:
        """The model is warm and a seat is free; else 503."""
        house = self._house
        if house.draining or not house.ready or house.admission.full:
            return PlainTextResponse("draining, loading or full\n", 503)
        return PlainTextResponse("ready\n")

    async def metrics(self, _: Request) -> Response:
        """Figures for Prometheus."""
        return PlainTextResponse(generate_latest(self._house.figures.registry).decode())

    async def version(self, _: Request) -> Response:
        """Of the package and of the protocol."""
        return JSONResponse({"everframe": everframe.__version__, "protocol": protocol.PROTOCOL})


def build_app(house: House, access: Access) -> Starlette:
    """The application around a host that is not started yet."""
    pages = Pages(house, access)

    async def socket(connection: WebSocket) -> None:
        await Connection(connection, house).serve()

    return Starlette(
        routes=[
            *_rtc(house),
            Route("/", pages.page),
            Route("/view", pages.page),
            Route("/api/info", pages.info),
            Route("/api/looks", pages.looks),
            Route("/api/looks/{name}.webp", pages.thumbnail),
            Route("/healthz", pages.healthz),
            Route("/readyz", pages.readyz),
            Route("/metrics", pages.metrics),
            Route("/version", pages.version),
            WebSocketRoute("/ws", socket),
            Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
        ],
        middleware=[Middleware(Guard, access=access)],
        lifespan=lambda _: running(house),
    )


def _rtc(house: House) -> list[Route]:
    """WebRTC, where a package for it is installed."""
    if not rtc_choice.installed():
        return []
    from everframe.serve.rtc_routes import rtc_routes

    return rtc_routes(house)


@contextlib.asynccontextmanager
async def running(house: House) -> AsyncGenerator[None]:
    """The host runs while the application does; the server has warmed the model."""

    async def tidy() -> None:
        while True:
            await asyncio.sleep(TIDY_S)
            house.tidy()

    host = house.host
    host.start()
    engine = await asyncio.to_thread(
        host.models.open, host.models.model, house.size.width, house.size.height
    )
    house.engine = engine.name if engine is not None else host.models.engine
    house.ready = True
    keeper = asyncio.create_task(tidy())
    try:
        yield
    finally:
        house.draining = True
        keeper.cancel()
        for peer in list(house.peers.values()):
            await peer.close()
        await asyncio.to_thread(host.stop)


def describe(house: House, access: Access) -> dict[str, Any]:
    """What `/api/info` says."""
    models, limits = house.host.models, house.host.limits
    size = [house.size.width, house.size.height]
    return {
        "protocol": protocol.PROTOCOL,
        "version": everframe.__version__,
        "models": sorted({models.model, *bundled_models()}),
        "model": models.model,
        "engine": house.engine,
        "default_size": size,
        "sizes": sorted([size, [256, 256], [288, 224], [320, 176], [320, 240], [512, 288]]),
        "limits": {
            "prompt": protocol.PROMPT_LIMIT,
            "transition_s": protocol.TRANSITION_S,
            "frames_per_s": limits.frames_per_s,
            "sessions": limits.sessions,
        },
        "transports": ["ws-jpeg", *(["webrtc"] if rtc_choice.installed() else [])],
        "auth": "token" if access.token else "none",
        "public_url": house.public_url,
    }


def _look(look: Look) -> dict[str, Any]:
    url = f"/api/looks/{look.name}.webp" if look.thumbnail else None
    return {
        "name": look.name,
        "prompt": look.prompt,
        "hidden": look.hidden,
        "thumbnail_url": url,
    }
