"""H.264 over the WebSocket in a real browser."""

from pathlib import Path

from playwright.sync_api import expect

from everframe.serve.models import IDENTITY
from tests.serve.browser.conftest import BITS, FRAMES, OpenPage, StartServer
from tests.serve.browser.test_page import NUMBERS, PATIENCE_MS


def test_h264_over_the_websocket(serve: StartServer, open_page: OpenPage, numbers: Path) -> None:
    server = serve(IDENTITY)
    page = open_page(server.url, numbers)
    expect(page.locator("#looks button").first).to_be_visible()
    page.eval_on_selector(
        "#transport", "way => { way.value = 'h264'; way.dispatchEvent(new Event('change')) }"
    )
    page.click("#try")
    expect(page.locator("#status")).to_contain_text("live", timeout=PATIENCE_MS)
    expect(page.locator("#m-size")).to_have_text("288x224", timeout=PATIENCE_MS)
    expect(page.locator("#m-transport")).to_have_text("WebSocket, H.264", timeout=PATIENCE_MS)
    assert page.inner_text("#banner") == ""
    page.wait_for_timeout(1000)
    pairs: list[list[int]] = page.evaluate(NUMBERS, [BITS, 90])
    assert len({b for _, b in pairs if b < FRAMES}) > 10
    behind = sorted((a - b) % FRAMES for a, b in pairs if a < FRAMES and b < FRAMES)
    assert behind[len(behind) // 2] <= 8
    page.wait_for_timeout(2500)  # past the second key frame
    assert 3 < float(page.inner_text("#m-age")) < 1000
    (seat,) = server.house.host.seats
    before = seat.meter.frames
    page.wait_for_timeout(1000)
    assert seat.meter.frames > before + 8
