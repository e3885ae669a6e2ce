"""WebRTC over HTTP: the page's call, WHIP (RFC 9725) and WHEP."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from everframe.core.errors import UserError
from everframe.serve import protocol
from everframe.serve.host import DEFAULT_PROMPT
from everframe.serve.house import House
from everframe.serve.rtc import Role, join_peer, open_peer, watch_peer

SDP_BYTES = 64_000
SDP_TYPE = "application/sdp"


class Call(BaseModel):
    """Body of `POST /api/webrtc`: an offer, and either the settings of a session of its own or the
    resume token of a WebSocket's session, whose pictures then take this road.
    """

    model_config = ConfigDict(extra="forbid")

    sdp: str = Field(max_length=SDP_BYTES)
    session_start: protocol.SessionStart | None = None
    resume: protocol.Identifier | None = None


class Signalling:
    """Offers in, answers out."""

    def __init__(self, house: House) -> None:
        """Of a server."""
        self._house = house

    async def call(self, request: Request) -> Response:
        """`POST /api/webrtc`: the page's call."""
        try:
            body = Call.model_validate_json(await _body(request))
            if body.resume is not None:
                peer, sdp = await join_peer(self._house, body.resume, body.sdp)
            elif body.session_start is not None:
                peer, sdp = await open_peer(self._house, "call", body.sdp, body.session_start)
            else:
                raise UserError("give session_start, or resume of a session on the WebSocket")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            return PlainTextResponse(f"{first['loc']}: {first['msg']}\n", 422)
        except UserError as error:
            return PlainTextResponse(f"{error}\n", 400)
        made: dict[str, Any] = {"sdp": sdp, "session_id": peer.seat.id, "resource": peer.id}
        return JSONResponse(made)

    async def whip(self, request: Request) -> Response:
        """`POST /whip?prompt=`: OBS and its like send."""
        prompt = request.query_params.get("prompt", DEFAULT_PROMPT)
        return await self._post(request, "whip", {"prompt": prompt})

    async def whep(self, request: Request) -> Response:
        """`POST /whep?session=`: a player receives."""
        return await self._post(request, "whep", {})

    async def hang_up(self, request: Request) -> Response:
        """`DELETE /rtc/ID`, the Location of a WHIP or WHEP answer."""
        peer = self._house.peers.get(request.path_params["peer"])
        if peer is None:
            return PlainTextResponse("no such connection\n", 404)
        await peer.close()
        return Response(status_code=200)

    async def _post(self, request: Request, role: Role, settings: dict[str, str]) -> Response:
        if request.headers.get("content-type", "").split(";")[0] != SDP_TYPE:
            return PlainTextResponse(f"send an SDP offer as {SDP_TYPE}\n", 415)
        try:
            sdp = (await _body(request)).decode(errors="replace")
            if role == "whep":
                session = request.query_params.get("session", "")
                peer, answer = await watch_peer(self._house, session, sdp)
            else:
                start = protocol.SessionStart.model_validate({"type": "session.start", **settings})
                peer, answer = await open_peer(self._house, role, sdp, start)
        except (UserError, ValidationError) as error:
            return PlainTextResponse(f"{error}\n", 400)
        place = {"Location": f"/rtc/{peer.id}", "X-Session-Id": peer.seat.id}
        return Response(answer, 201, headers=place, media_type=SDP_TYPE)


def rtc_routes(house: House) -> list[Route]:
    """The routes of a server."""
    signalling = Signalling(house)
    return [
        Route("/api/webrtc", signalling.call, methods=["POST"]),
        Route("/whip", signalling.whip, methods=["POST"]),
        Route("/whep", signalling.whep, methods=["POST"]),
        Route("/rtc/{peer}", signalling.hang_up, methods=["DELETE"]),
    ]


async def _body(request: Request) -> bytes:
    """The body, at most `SDP_BYTES` of it.

    Raises:
        UserError: it is longer.
    """
    parts: list[bytes] = []
    async for part in request.stream():
        parts.append(part)
        if sum(map(len, parts)) > SDP_BYTES:
            raise UserError(f"the description is longer than {SDP_BYTES} bytes")
    return b"".join(parts)
