"""Real servers on real ports, with a tiny random model."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from everframe.arch.bundle import Bundle
from everframe.runtime.engine import open_engine
from everframe.serve.host import Limits
from everframe.serve.models import Models
from everframe.serve.rtc_choice import AUTO, installed
from everframe.serve.server import Address, Server
from everframe.stream.control import Control
from everframe.stream.resize import Size
from everframe.stream.session import Session
from tests.nets import random_bundle, random_frame

WIDTH, HEIGHT = 96, 64
PATIENT_MS = 20_000
"""A busy machine must not make a test see a fallback picture."""
Start = Callable[..., Server]


def need(package: str) -> None:
    """Skip where a WebRTC package is not installed."""
    if package not in installed():
        pytest.skip(f"needs the WebRTC package {package}; see pyproject.toml")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny bundle with random weights."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    random_bundle().save_pretrained(folder)
    return folder


@pytest.fixture
def start(model: Path) -> Iterator[Start]:
    """Start a server; stopped at the end of the test."""
    running: list[Server] = []

    def begin(
        models: Models | None = None,
        address: Address | None = None,
        limits: Limits | None = None,
        rtc: str = AUTO,
    ) -> Server:
        server = Server(
            models or Models(str(model)),
            address or Address(port=0),
            limits or Limits(deadline_ms=PATIENT_MS),
            Size(WIDTH, HEIGHT),
            rtc=rtc,
        )
        running.append(server)
        server.start()
        return server

    yield begin
    for server in running:
        server.stop()


def offline(model: Path, prompt: str) -> Session:
    """The same stream without a server."""
    bundle = Bundle.from_pretrained(model)
    engine = open_engine("auto", bundle, height=HEIGHT, width=WIDTH)
    return Session(engine, Control(prompts=((prompt, 1.0),)), model="tiny")


def camera(number: int) -> NDArray[np.uint8]:
    """A camera frame."""
    return random_frame(number, HEIGHT, WIDTH)
