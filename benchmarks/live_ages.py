"""How old is a picture on the page, by each transport, and is the meter right?

    python -m benchmarks.live_ages websocket webrtc --seconds 15

Headless Chromium, a 640x480 webcam file with a barcode in its upper rows, the identity engine at
512x512. For every transport: the page's own meter (capture to display, ms), and apart from that how
far the result's barcode is behind that of the camera's preview, in ms, read at every refresh of
the screen. The two do not count alike (a median against a mean in steps of 40 ms, capture against
preview): what tells is whether they move together from row to row. A name may be given twice.
`--choice` names the page's list of transports. Prints one JSON line. Browser and server share the
machine: compare rows of one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.live_browser import ARGUMENTS, CLIP
from everframe.serve.host import Limits
from everframe.serve.models import IDENTITY, Models
from everframe.serve.server import Address, Server
from everframe.stream.resize import Size

BITS, FRAMES, FPS, ROWS = 8, 100, 25, 64
SIDE = 512
WARM_MS = 6000
READ = """async ([bits, rounds]) => {
  const c = new OffscreenCanvas(64, 60).getContext("2d", { willReadFrequently: true });
  const read = (image) => {
    c.drawImage(image, 0, 0, 64, 60);
    const row = c.getImageData(0, 4, 64, 1).data;
    let n = 0;
    for (let b = 0; b < bits; b += 1) if (row[4 * (8 * b + 4)] > 127) n |= 1 << b;
    return n;
  };
  const pairs = [];
  for (let i = 0; i < rounds; i += 1) {
    await new Promise(requestAnimationFrame);
    pairs.push([read(document.getElementById("camera")), read(document.getElementById("output"))]);
  }
  return pairs;
}"""


def film(path: Path) -> None:
    """The bundled clip with the number of each frame, as Chromium takes it for a camera."""
    with av.open(str(CLIP)) as clip, av.open(str(path), "w", format="yuv4mpegpipe") as file:
        stream = file.add_stream("rawvideo", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for number, frame in enumerate(islice(clip.decode(video=0), FRAMES)):
            pixels = frame.reformat(width=640, height=480).to_ndarray(format="rgb24")
            bits = np.array([(number >> bit) & 1 for bit in range(BITS)], np.uint8)
            pixels[:ROWS] = np.repeat(bits * 255, 640 // BITS)[None, :, None]
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                file.mux(packet)
        file.mux(stream.encode())


def measure(page: Page, seconds: int) -> dict[str, Any]:
    """Figures of a page that runs."""
    meter: list[tuple[float, float]] = []
    behind: list[int] = []
    for _ in range(seconds):
        pairs = page.evaluate(READ, [BITS, 60])
        behind += [(a - b) % FRAMES for a, b in pairs if a < FRAMES and b < FRAMES]
        late = page.inner_text("#m-age95")
        meter.append((float(page.inner_text("#m-age")), float(late.split()[-1])))
    p50, p95 = np.median(np.array(meter), axis=0)
    near = [n for n in behind if n < FRAMES // 2]
    return {
        "meter_p50": round(float(p50), 1),
        "meter_p95": round(float(p95), 1),
        "behind_preview_mean": round(1e3 * float(np.mean(near)) / FPS, 1),
        "readings": len(near),
        "received": page.inner_text("#m-size"),
        "frames_in_out": page.inner_text("#m-fps"),
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Ages on the page, by transport.")
    parser.add_argument("transports", nargs="+")
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--choice", default="transport", help="id of the page's list")
    args = parser.parse_args()
    server = Server(Models("pocket", IDENTITY), Address(port=0), Limits(), Size(SIDE, SIDE))
    server.start()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        camera = Path(folder) / "camera.y4m"
        film(camera)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[*ARGUMENTS, f"--use-file-for-fake-video-capture={camera}"],
        )
        for name in args.transports:
            page = browser.new_context(permissions=["camera"]).new_page()
            page.goto(server.url)
            page.wait_for_selector("#looks button")
            page.select_option(f"#{args.choice}", name)
            page.click("#try")
            page.wait_for_timeout(WARM_MS)
            row = f"{name}, {len(rows) + 1}"
            rows[row] = measure(page, args.seconds)
            print(f"{row:16}", rows[row], flush=True)
            page.close()
        browser.close()
    server.stop()
    chosen = " ".join(args.transports)
    report = {
        "command": f"python -m benchmarks.live_ages {chosen} --seconds {args.seconds}",
        "date": datetime.now(tz=UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "ms": rows,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
