"""OpenAPI and AsyncAPI documents, written from the routes and the message models themselves.

python -m everframe.serve.schema docs/api
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic.json_schema import models_json_schema
from starlette.applications import Starlette
from starlette.routing import Route

import everframe
from everframe.serve import protocol
from everframe.serve.admission import Admission
from everframe.serve.app import build_app
from everframe.serve.guard import Access
from everframe.serve.host import Limits, SessionHost
from everframe.serve.house import House
from everframe.serve.models import IDENTITY, Models
from everframe.stream.resize import Size

JSON_TYPES = {"/api/info", "/api/looks", "/api/webrtc", "/version"}
REFERENCE = "#/components/schemas/{model}"


def client_messages() -> tuple[type[protocol.Message], ...]:
    """The members of `protocol.ClientMessage`."""
    union = get_args(protocol.ClientMessage)[0]
    return get_args(union)


def asyncapi() -> dict[str, Any]:
    """The WebSocket as an AsyncAPI 3.0 document."""
    received, sent = client_messages(), protocol.SERVER_MESSAGES
    models = [(m, "serialization") for m in (*received, *sent)]
    _, schemas = models_json_schema(models, ref_template=REFERENCE)  # type: ignore[arg-type]
    messages = {
        m.__name__: {
            "name": _type_of(m),
            "summary": _first_line(m.__doc__),
            "payload": {"$ref": REFERENCE.format(model=m.__name__)},
        }
        for m in (*received, *sent)
    }
    messages["Picture"] = {
        "name": "picture",
        "summary": "A coded picture, binary: a header of 32 bytes and the payload (serve/wire.py).",
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    }

    def of(models: tuple[type[protocol.Message], ...]) -> list[dict[str, str]]:
        names = [*(m.__name__ for m in models), "Picture"]
        return [{"$ref": f"#/channels/live/messages/{name}"} for name in names]

    channel = {"$ref": "#/channels/live"}
    return {
        "asyncapi": "3.0.0",
        "info": _info(),
        "channels": {
            "live": {
                "address": "/ws",
                "description": f"WebSocket, subprotocol {protocol.SUBPROTOCOL}.",
                "messages": {n: {"$ref": f"#/components/messages/{n}"} for n in messages},
            }
        },
        "operations": {
            "fromClient": {"action": "receive", "channel": channel, "messages": of(received)},
            "fromServer": {"action": "send", "channel": channel, "messages": of(sent)},
        },
        "components": {"messages": messages, "schemas": schemas["$defs"]},
    }


def openapi() -> dict[str, Any]:
    """The plain requests as an OpenAPI 3.1 document."""
    paths: dict[str, Any] = {}
    for route in _app().routes:
        if not isinstance(route, Route):
            continue
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(route.path, {})[method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": _info(),
        "paths": dict(sorted(paths.items())),
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    kind = "application/json" if route.path in JSON_TYPES else "*/*"
    made: dict[str, Any] = {
        "summary": _first_line(inspect.getdoc(route.endpoint)),
        "responses": {
            "200": {"description": "as the summary says", "content": {kind: {}}},
            "401": {"description": "token missing or wrong"},
            "403": {"description": "Host or Origin not allowed"},
        },
    }
    named = [part[1:].split("}")[0] for part in route.path.split("/") if part.startswith("{")]
    if named:
        made["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in named
        ]
    return made


def _app() -> Starlette:
    limits = Limits()
    house = House(
        host=SessionHost(Models("pocket", IDENTITY), limits),
        admission=Admission(limits.sessions, limits.waiting),
        size=Size(288, 224),
    )
    return build_app(house, Access())


def _info() -> dict[str, str]:
    return {"title": "everframe live", "version": f"{protocol.PROTOCOL} ({everframe.__version__})"}


def _type_of(model: type[protocol.Message]) -> str:
    field = model.model_fields["type"]
    return str(get_args(field.annotation)[0])


def _first_line(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def main(arguments: list[str]) -> int:
    """Write `openapi.json` and `asyncapi.json` into a folder."""
    folder = Path(arguments[0] if arguments else "docs/api")
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in (("openapi", openapi()), ("asyncapi", asyncapi())):
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
