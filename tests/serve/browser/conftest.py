"""Debian's Chromium, headless, with a fake camera, against a real server."""

import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from everframe.serve.host import Limits
from everframe.serve.models import Models
from everframe.serve.rtc_choice import AUTO
from everframe.serve.server import Address, Server
from everframe.stream.resize import Size

ROOT = Path(__file__).resolve().parents[3]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NO_CAMERA = Path()
SIZE = Size(288, 224)
BITS = 8
"""Of the barcode: that many columns, white is 1."""
FRAMES = 50
FPS = 25
StartServer = Callable[..., Server]
OpenPage = Callable[..., Page]


def write_y4m(path: Path, frames: list[np.ndarray]) -> None:
    """Frames uint8 [H, W, 3] as a file that Chromium takes for a camera."""
    with av.open(str(path), "w", format="yuv4mpegpipe") as file:
        stream = file.add_stream("rawvideo", rate=FPS)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                file.mux(packet)
        file.mux(stream.encode())


def barcode(number: int) -> np.ndarray:
    """A picture that says its number."""
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    columns = np.repeat(np.array(bits, np.uint8) * 255, 640 // BITS)
    return np.broadcast_to(columns[None, :, None], (480, 640, 3)).copy()


def fake_camera(film: Path) -> list[str]:
    """Chromium's arguments for a camera that shows a film; none at all for `NO_CAMERA`."""
    if film == NO_CAMERA:
        return []
    return [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]


@pytest.fixture(scope="session")
def webcam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled webcam clip as a fake camera."""
    path = tmp_path_factory.mktemp("camera") / "webcam.y4m"
    with av.open(str(ROOT / "examples/webcam.mp4")) as clip:
        frames = [f.to_ndarray(format="rgb24") for f in islice(clip.decode(video=0), FRAMES)]
    write_y4m(path, frames)
    return path


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fake camera whose frames say their numbers."""
    path = tmp_path_factory.mktemp("camera") / "numbers.y4m"
    write_y4m(path, [barcode(n) for n in range(FRAMES)])
    return path


@pytest.fixture
def serve() -> Iterator[StartServer]:
    """Start a server; `engine` may be the identity."""
    running: list[Server] = []

    def begin(engine: str = "auto", port: int = 0, rtc: str = AUTO) -> Server:
        server = Server(Models("pocket", engine), Address(port=port), Limits(), SIZE, rtc=rtc)
        running.append(server)
        server.start()
        return server

    yield begin
    for server in running:
        server.stop()


@pytest.fixture
def open_page(webcam: Path) -> Iterator[OpenPage]:
    """Open a page; at the end, nothing may have been wrong in it or asked from elsewhere."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    faults: list[str] = []
    with sync_playwright() as playwright:
        browsers: dict[Path, Browser] = {}

        def begin(url: str, camera: Path = webcam, *, forgive: str = "\0") -> Page:
            if camera not in browsers:
                browsers[camera] = playwright.chromium.launch(
                    executable_path=CHROMIUM, args=[*QUIET, *fake_camera(camera)]
                )
            context = browsers[camera].new_context(
                permissions=["camera", "microphone"], viewport={"width": 1280, "height": 860}
            )
            page = context.new_page()

            def fault(text: str) -> None:
                if forgive not in text:
                    faults.append(text)

            page.on("console", lambda m: fault(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda error: fault(str(error)))
            page.on(
                "request",
                lambda r: None if "//127.0.0.1" in r.url or r.url.startswith("blob:")
                else fault(f"asked {r.url}"),
            )  # fmt: skip
            page.goto(url)
            return page

        yield begin
        for browser in browsers.values():
            browser.close()
    assert faults == []
