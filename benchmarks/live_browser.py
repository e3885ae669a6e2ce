"""The page in headless Chromium with a webcam file: what its meter says, once a second."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import av
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import sync_playwright

FPS = 25
METER = ("m-age", "m-age95", "m-fps", "m-model", "m-drop")
AGE, AGE95, SHOWN, MODEL, CAME, LEFT_OUT = range(6)
"""Columns of `readings`: p50 and p95 of 200 pictures, ms; pictures shown a second; ms of the model;
frames that came to the server a second; frames left out."""
SETTLE_S = 8.0
CLIP = Path(__file__).resolve().parents[1] / "examples/webcam.mp4"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


def camera_file(path: Path) -> None:
    """The bundled clip, to and fro, as Chromium takes it for a camera."""
    with av.open(str(CLIP)) as clip:
        frames = [frame.reformat(format="yuv420p") for frame in clip.decode(video=0)]
    with av.open(str(path), "w", format="yuv4mpegpipe") as file:
        stream = file.add_stream("rawvideo", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for frame in [*frames, *frames[-2:0:-1]]:
            frame.pts = None
            for packet in stream.encode(frame):
                file.mux(packet)
        file.mux(stream.encode())


def readings(
    url: str,
    seconds: float,
    *,
    transport: str = "",
    token: str = "",
    ready: Callable[[], None] = lambda: None,
) -> NDArray[np.float64]:
    """The page's meter, one row a second; `ready` is called when the pictures have settled.

    Raises:
        RuntimeError: the page shows another transport than the one asked for.
    """
    rows: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        film = Path(folder) / "camera.y4m"
        camera_file(film)
        secure = f"--unsafely-treat-insecure-origin-as-secure={url}"  # else it gives no camera
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[*ARGUMENTS, secure, f"--use-file-for-fake-video-capture={film}"],
        )
        tab = browser.new_context(permissions=["camera"]).new_page()
        wishes = {"token": token, "transport": transport}
        tab.goto(f"{url}/#{urlencode({k: v for k, v in wishes.items() if v})}")
        tab.wait_for_selector("#looks button")
        tab.click("#try")
        tab.wait_for_timeout(1e3 * SETTLE_S)
        used = tab.inner_text("#m-transport")
        if transport and transport not in used.lower():
            raise RuntimeError(f"the page uses {used}: {tab.inner_text('#banner')}")
        ready()
        shown = "(ids) => ids.map((id) => document.getElementById(id).textContent)"
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            tab.wait_for_timeout(1000)
            age, late, rates, model, left_out = tab.evaluate(shown, list(METER))
            received, displayed = rates.split(" / ")
            texts = (age, late.split()[-1], displayed, model, received, left_out.split()[0])
            rows.append([float(text.replace("-", "nan")) for text in texts])
        browser.close()
    return np.array(rows)
