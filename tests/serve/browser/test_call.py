"""The page over WebRTC, in a real browser: picture, prompt, age, and the way back."""

from pathlib import Path

from playwright.sync_api import Page, expect

from everframe.serve.models import IDENTITY
from everframe.serve.rtc import Peer
from tests.serve.browser.conftest import BITS, FPS, FRAMES, OpenPage, StartServer
from tests.serve.browser.test_page import NUMBERS, PATIENCE_MS, SATURATION, settle


def call(page: Page) -> None:
    """Begin over WebRTC."""
    expect(page.locator("#looks button").first).to_be_visible()
    page.eval_on_selector("#way", "way => { way.value = 'webrtc' }")
    page.click("#try")
    expect(page.locator("#status")).to_contain_text("live", timeout=PATIENCE_MS)
    expect(page.locator("#m-size")).not_to_have_text("-", timeout=PATIENCE_MS)
    page.wait_for_timeout(1500)


def test_a_call_comes_back_restyled_and_follows_the_prompt(
    serve: StartServer, open_page: OpenPage
) -> None:
    server = serve()
    page = open_page(server.url)
    call(page)
    (peer,) = server.house.peers.values()
    assert isinstance(peer, Peer)
    assert peer.role == "call"
    assert page.evaluate(SATURATION) < 20
    page.fill("#prompt", "thermal camera")
    page.press("#prompt", "Enter")
    settle(page, "#applied", "holds from frame")
    assert page.evaluate(SATURATION) > 50
    page.wait_for_timeout(1500)
    assert 20 < float(page.inner_text("#m-age")) < 1500
    width, height = map(int, page.inner_text("#m-size").split("x"))
    assert (288, 224) <= (width, height) < (640, 480)  # no more than the model sees
    view = open_page(page.input_value("#obs"))
    expect(view.locator("#output")).to_be_visible(timeout=PATIENCE_MS)
    view.wait_for_timeout(700)
    assert view.evaluate(SATURATION) > 50
    page.click("#start")
    expect(page.locator("#status")).to_contain_text("ended")
    page.wait_for_timeout(500)
    assert not server.house.peers


def test_the_reckoned_age_is_that_of_the_barcode(
    serve: StartServer, open_page: OpenPage, numbers: Path
) -> None:
    page = open_page(serve(IDENTITY).url, numbers)
    call(page)
    page.wait_for_timeout(2000)
    pairs: list[list[int]] = page.evaluate(NUMBERS, [BITS, 120])
    behind = sorted((a - b) % FRAMES for a, b in pairs if a < FRAMES and b < FRAMES)
    assert len(behind) > 60
    seen_ms = 1000 * sum(behind) / len(behind) / FPS
    said_ms = float(page.inner_text("#m-age"))
    assert seen_ms < 400
    assert abs(said_ms - seen_ms) < 80, (said_ms, seen_ms)


def test_without_a_way_for_webrtc_the_websocket_is_taken(
    serve: StartServer, open_page: OpenPage
) -> None:
    page = open_page("about:blank", forgive="Failed to load resource")
    page.add_init_script("delete RTCPeerConnection.prototype.createOffer")
    page.goto(serve(IDENTITY).url)
    expect(page.locator("#looks button").first).to_be_visible()
    page.eval_on_selector("#way", "way => { way.value = 'webrtc' }")
    page.click("#try")
    expect(page.locator("#banner")).to_contain_text("using the WebSocket", timeout=PATIENCE_MS)
    expect(page.locator("#status")).to_contain_text("live", timeout=PATIENCE_MS)
    expect(page.locator("#m-size")).to_have_text("288x224", timeout=PATIENCE_MS)


def test_h264_over_the_websocket(serve: StartServer, open_page: OpenPage, numbers: Path) -> None:
    server = serve(IDENTITY)
    page = open_page(server.url, numbers)
    expect(page.locator("#looks button").first).to_be_visible()
    page.eval_on_selector("#way", "way => { way.value = 'h264' }")
    page.click("#try")
    expect(page.locator("#status")).to_contain_text("live", timeout=PATIENCE_MS)
    expect(page.locator("#m-size")).to_have_text("288x224", timeout=PATIENCE_MS)
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
