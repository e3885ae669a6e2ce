"""The page as a visitor uses it."""

import time
from pathlib import Path

import av
import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from everframe.serve.models import IDENTITY
from tests.serve.browser.conftest import BITS, FPS, FRAMES, OpenPage, StartServer

PATIENCE_MS = 15_000
SATURATION = """() => {
  const c = document.getElementById("output");
  const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let sum = 0;
  for (let i = 0; i < d.length; i += 4) {
    sum += Math.max(d[i], d[i + 1], d[i + 2]) - Math.min(d[i], d[i + 1], d[i + 2]);
  }
  return sum / (d.length / 4);
}"""
"""Mean colourfulness of the result, levels."""
NUMBERS = """async (args) => {
  const [bits, rounds] = args;
  const small = new OffscreenCanvas(64, 48);
  const c = small.getContext("2d", { willReadFrequently: true });
  const read = (image) => {
    c.drawImage(image, 0, 0, 64, 48);
    let n = 0;
    for (let b = 0; b < bits; b += 1) {
      const x = Math.floor(((b + 0.5) * 64) / bits);
      if (c.getImageData(x, 24, 1, 1).data[0] > 127) n |= 1 << b;
    }
    return n;
  };
  const pairs = [];
  for (let i = 0; i < rounds; i += 1) {
    await new Promise(requestAnimationFrame);
    pairs.push([read(document.getElementById("camera")), read(document.getElementById("output"))]);
  }
  return pairs;
}"""
"""What camera and result say at the same moment."""


def begin(page: Page) -> None:
    expect(page.locator("#looks button").first).to_be_visible()
    page.click("#try")
    expect(page.locator("#status")).to_contain_text("live", timeout=PATIENCE_MS)
    expect(page.locator("#m-size")).to_have_text("288x224", timeout=PATIENCE_MS)
    page.wait_for_timeout(300)


def settle(page: Page, test: str, text: str) -> None:
    """Wait for an element to hold a text."""
    expect(page.locator(test)).to_contain_text(text, timeout=PATIENCE_MS)
    page.wait_for_timeout(400)


def test_the_camera_comes_back_restyled_and_follows_the_prompt(
    serve: StartServer, open_page: OpenPage
) -> None:
    page = open_page(serve().url)
    begin(page)
    grey = page.evaluate(SATURATION)
    page.fill("#prompt", "thermal camera")
    page.press("#prompt", "Enter")
    settle(page, "#applied", "holds from frame")
    coloured = page.evaluate(SATURATION)
    assert grey < 12
    assert coloured > 60
    page.click("#looks button:has-text('noir')")
    settle(page, "#applied", "holds from frame")
    assert page.evaluate(SATURATION) < 12
    page.wait_for_timeout(1100)
    assert 5 < float(page.inner_text("#m-age")) < 1000
    assert page.inner_text("#m-size") == "288x224"


def test_the_result_is_only_frames_behind_the_camera(
    serve: StartServer, open_page: OpenPage, numbers: Path
) -> None:
    page = open_page(serve(IDENTITY).url, numbers)
    begin(page)
    pairs: list[list[int]] = page.evaluate(NUMBERS, [BITS, 90])
    behind = sorted((a - b) % FRAMES for a, b in pairs if a < FRAMES and b < FRAMES)
    assert len(behind) > 60
    middle = behind[len(behind) // 2]
    assert middle <= 6, f"{middle} frames = {1000 * middle / FPS:.0f} ms behind"
    assert len({b for _, b in pairs}) > 10


def test_pictures_flow_while_nothing_is_drawn(serve: StartServer, open_page: OpenPage) -> None:
    """A hidden tab gets no frames of its video element; the stream must go on for OBS."""
    server = serve(IDENTITY)
    page = open_page("about:blank")
    page.add_init_script("HTMLVideoElement.prototype.requestVideoFrameCallback = () => 0")
    page.goto(server.url)
    begin(page)
    (seat,) = server.house.host.seats
    before = seat.meter.frames
    page.wait_for_timeout(1500)
    assert seat.meter.frames > before + 15


def test_panic_freeze_views_and_keys(serve: StartServer, open_page: OpenPage) -> None:
    page = open_page(serve().url)
    begin(page)
    restyled = page.evaluate(SATURATION)
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("p")
    settle(page, "#applied", "the camera, untouched, from frame")
    expect(page.locator("#panic")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(SATURATION) > restyled + 10
    page.keyboard.press("Escape")
    settle(page, "#applied", "restyled from frame")
    assert page.evaluate(SATURATION) < restyled + 5
    page.keyboard.press("f")
    settle(page, "#applied", "frozen from frame")
    first = page.evaluate("document.getElementById('output').toDataURL()")
    page.wait_for_timeout(500)
    assert page.evaluate("document.getElementById('output').toDataURL()") == first
    page.keyboard.press("3")
    expect(page.locator("#stage")).to_have_attribute("data-view", "wipe")
    page.locator("#wipe-bar").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#wipe-bar")).to_have_attribute("aria-valuenow", "52")


def test_a_recording_plays_and_a_snapshot_opens(
    serve: StartServer, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(serve().url)
    expect(page.locator("#record")).to_be_disabled()
    page.select_option("#sound", "recorded")
    begin(page)
    page.click("#record")
    page.wait_for_timeout(3000)
    expect(page.locator("#record")).to_contain_text("Stop 0:0")
    with page.expect_download() as recorded:
        page.click("#record")
    recorded.value.save_as(tmp_path / "recording")
    with av.open(str(tmp_path / "recording")) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) > 20
    assert frames[-1].shape == (224, 288, 3)
    assert frames[-1].std() > 10
    with av.open(str(tmp_path / "recording")) as film:
        sound = np.concatenate([one.to_ndarray().ravel() for one in film.decode(audio=0)])
    assert float(np.abs(sound).max()) > 0.01  # Chromium's fake microphone beeps
    with page.expect_download() as taken:
        page.click("#snapshot")
    taken.value.save_as(tmp_path / "shot.png")
    with Image.open(tmp_path / "shot.png") as picture:
        assert picture.size == (288, 224)


def test_two_tabs_and_a_view_keep_to_themselves(serve: StartServer, open_page: OpenPage) -> None:
    url = serve().url
    grey, coloured = open_page(url), open_page(url + "/#prompt=thermal+camera")
    begin(grey)
    begin(coloured)
    assert grey.evaluate(SATURATION) < 12
    assert coloured.evaluate(SATURATION) > 60
    view = open_page(coloured.input_value("#obs"))
    expect(view.locator("#output")).to_be_visible(timeout=PATIENCE_MS)
    view.wait_for_timeout(500)
    assert view.evaluate(SATURATION) > 60
    assert view.locator("body > *").count() == 1
    address = coloured.input_value("#obs")
    coloured.reload()  # OBS keeps the address that it has
    begin(coloured)
    assert coloured.input_value("#obs") == address
    before = view.evaluate("document.getElementById('output').toDataURL()")
    until = time.monotonic() + PATIENCE_MS / 1e3
    while view.evaluate("document.getElementById('output').toDataURL()") == before:
        assert time.monotonic() < until
        view.wait_for_timeout(200)


def test_the_page_comes_back_when_the_server_does(serve: StartServer, open_page: OpenPage) -> None:
    first = serve()
    port = int(first.url.rsplit(":", 1)[1])
    page = open_page(first.url, forgive="WebSocket connection")
    begin(page)
    first.stop()
    expect(page.locator("#banner")).to_be_visible(timeout=PATIENCE_MS)
    page.fill("#prompt", "thermal camera")
    page.press("#prompt", "Enter")  # what is said meanwhile is not lost
    serve(port=port)
    settle(page, "#status", "live")
    expect(page.locator("#banner")).to_be_hidden()
    page.wait_for_timeout(600)
    assert page.evaluate(SATURATION) > 60
