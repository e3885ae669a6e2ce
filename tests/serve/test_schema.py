"""The published documents are those of the code; `python -m everframe.serve.schema docs/api`."""

import json
from pathlib import Path

import pytest

from everframe.serve import protocol, schema

FOLDER = Path(__file__).resolve().parents[2] / "docs/api"


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
def test_the_published_document_is_current(name: str) -> None:
    made = {"openapi": schema.openapi, "asyncapi": schema.asyncapi}[name]
    stored = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(made()))


def test_every_message_is_in_it() -> None:
    document = schema.asyncapi()
    told = {message["name"] for message in document["components"]["messages"].values()}
    assert {"session.start", "session.update", "view.attach", "session.created", "error"} <= told
    assert len(schema.client_messages()) == 7
    assert set(document["components"]["schemas"]) >= {m.__name__ for m in protocol.SERVER_MESSAGES}
