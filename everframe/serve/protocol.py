"""The messages of `everframe live`, version 1: JSON on a WebSocket, checked before use.

`docs/live.md` explains them; pictures travel beside them in binary (`serve.wire`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from everframe.core.errors import UserError
from everframe.stream.control import PROMPT_LIMIT

PROTOCOL = 1
SUBPROTOCOL = "everframe.v1"
TOKEN_SUBPROTOCOL = "token."
MESSAGE_BYTES = 16_384
"""Longest JSON message."""
TRANSITION_S = 30.0
"""Longest cross-fade, seconds."""

Prompt = Annotated[str, Field(min_length=1, max_length=PROMPT_LIMIT)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Steps = Literal[1, 2, 4, 8]
Side = Annotated[int, Field(ge=64, le=1280, multiple_of=16)]
Identifier = Annotated[str, Field(min_length=1, max_length=64)]
ViewName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
Size = tuple[int, int]


class Message(BaseModel):
    """What every message has. `event_id` is the sender's and comes back in the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Identifier | None = None
    session_id: Identifier | None = None
    t: float | None = None


class Settings(Message):
    """Settings of a stream; what is absent stays as it is.

    prompt_b and blend: a second prompt and its share. transition_s: cross-fade in seconds.
    freeze: repeat the last picture. bypass: pass the camera through. limit_flicker: hold sudden
    changes of brightness back.
    """

    prompt: Prompt | None = None
    prompt_b: Annotated[str, Field(max_length=PROMPT_LIMIT)] | None = None
    blend: Share | None = None
    strength: Share | None = None
    seed: Seed | None = None
    steps: Steps | None = None
    transition_s: Annotated[float, Field(ge=0, le=TRANSITION_S)] = 0.0
    freeze: bool | None = None
    bypass: bool | None = None
    limit_flicker: bool | None = None


class SessionStart(Settings):
    """Open a session; `size` is [width, height], `resume` the token of a session that broke off.
    `view`: a secret of the client's by which it can be watched too, from one session to the next.
    """

    type: Literal["session.start"]
    size: tuple[Side, Side] | None = None
    codec: Literal["jpeg", "h264", "raw"] = "jpeg"
    quality: Annotated[int, Field(ge=1, le=95)] = 85
    model: Identifier | None = None
    resume: Identifier | None = None
    view: ViewName | None = None


class SessionUpdate(Settings):
    """Change settings from the next frame on."""

    type: Literal["session.update"]


class SessionReset(Message):
    """Forget the past."""

    type: Literal["session.reset"]


class SessionPing(Message):
    """Ask for a `session.pong`."""

    type: Literal["session.ping"]


class SessionEnd(Message):
    """End the session."""

    type: Literal["session.end"]


class ViewAttach(Message):
    """Receive the pictures of another connection's session."""

    type: Literal["view.attach"]
    session: Identifier


class ClientStats(Message):
    """What the viewer measured: capture to display, percentiles in ms."""

    type: Literal["client.stats"]
    capture_to_display_ms: dict[Literal["p50", "p95"], Annotated[float, Field(ge=0, le=1e6)]]


ClientMessage = Annotated[
    SessionStart
    | SessionUpdate
    | SessionReset
    | SessionPing
    | SessionEnd
    | ViewAttach
    | ClientStats,
    Field(discriminator="type"),
]
CLIENT_MESSAGES: TypeAdapter[Any] = TypeAdapter(ClientMessage)


class SessionCreated(Message):
    """The session is open; `frame` is the number of frames that it has restyled."""

    type: Literal["session.created"] = "session.created"
    protocol: int = PROTOCOL
    model: str
    engine: str
    size: Size
    limits: dict[str, float]
    view_url: str
    resume_token: str
    resumed: bool = False
    frame: int = 0


class SessionUpdated(Message):
    """The change holds from the picture with this frame id on."""

    type: Literal["session.updated"] = "session.updated"
    frame: int


class SessionWasReset(Message):
    """The past is forgotten from this frame id on."""

    type: Literal["session.reset"] = "session.reset"
    frame: int


class SessionStats(Message):
    """Once a second. Times in ms; counts since the start."""

    type: Literal["session.stats"] = "session.stats"
    frame: int
    fps_in: float
    fps_out: float
    model_ms: dict[str, float]
    total_ms: dict[str, float]
    dropped: int
    late: int
    fallback: dict[str, int]
    miss_rate: float
    received_size: Size
    size: Size
    engine: str
    sessions: int


class SessionQueue(Message):
    """All seats are taken; this many are before you."""

    type: Literal["session.queue"] = "session.queue"
    position: int


class SessionWarning(Message):
    """Something to tell the user."""

    type: Literal["session.warning"] = "session.warning"
    code: str
    message: str


class SessionEnded(Message):
    """The session is over."""

    type: Literal["session.ended"] = "session.ended"
    reason: str


class SessionPong(Message):
    """Answer to a ping."""

    type: Literal["session.pong"] = "session.pong"


class Error(Message):
    """A request failed; the message names the fix. The connection goes on if it is retryable."""

    type: Literal["error"] = "error"
    code: str
    message: str
    retryable: bool = True


SERVER_MESSAGES: tuple[type[Message], ...] = (
    SessionCreated,
    SessionUpdated,
    SessionWasReset,
    SessionStats,
    SessionQueue,
    SessionWarning,
    SessionEnded,
    SessionPong,
    Error,
)


def parse(text: str) -> Any:  # noqa: ANN401 - one of the members of `ClientMessage`
    """Read a client's message.

    Raises:
        UserError: it is too long, no JSON, of no known type, or a field is wrong.
    """
    if len(text) > MESSAGE_BYTES:
        raise UserError(f"the message has {len(text)} characters; use at most {MESSAGE_BYTES}")
    try:
        return CLIENT_MESSAGES.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where or 'message'}: {first['msg']}; see docs/live.md") from None


def event_id_of(text: str) -> str | None:
    """The event id of a message that may be wrong otherwise, so that its sender hears of it."""
    try:
        return Message.model_validate_json(text, extra="ignore").event_id
    except ValidationError:
        return None


def dump(message: Message) -> str:
    """A message as JSON, without what is not set."""
    return message.model_dump_json(exclude_none=True)
