"""The roads that the pictures of the page can take."""

import json
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from everframe.serve.models import IDENTITY
from everframe.serve.rtc import Peer
from everframe.serve.rtc_choice import AIORTC, REACTOR
from everframe.serve.server import Server
from everframe.serve.socket import Connection
from tests.serve.browser.conftest import BITS, FPS, FRAMES, SIZE, OpenPage, StartServer
from tests.serve.browser.test_page import NUMBERS, PATIENCE_MS, SATURATION, begin, settle
from tests.serve.conftest import need

NOWHERE = "192.0.2.1"
"""An address that no one has (RFC 5737)."""


def over_webrtc(page: Page) -> None:
    begin(page)
    expect(page.locator("#m-transport")).to_have_text("WebRTC", timeout=PATIENCE_MS)
    page.wait_for_timeout(500)


@pytest.mark.parametrize("package", [AIORTC, REACTOR])
def test_webrtc_brings_restyled_pictures_and_the_prompt_holds(
    serve: StartServer, open_page: OpenPage, package: str
) -> None:
    need(package)
    server = serve(rtc=package)
    page = open_page(server.url + "/#transport=webrtc")
    over_webrtc(page)
    (seat,) = server.house.host.seats
    (owner,) = server.house.owners.values()
    assert isinstance(owner, Connection)
    (peer,) = server.house.peers.values()
    assert isinstance(peer, Peer)
    assert package in type(peer._line).__module__
    assert owner._outbox.held  # nothing goes over the WebSocket but messages
    assert page.evaluate(SATURATION) < 14
    frames = seat.meter.frames
    page.fill("#prompt", "thermal camera")
    page.press("#prompt", "Enter")
    settle(page, "#applied", "holds from frame")
    promised = int(re.findall(r"frame (\d+)", page.inner_text("#applied"))[0])
    assert frames - 5 < promised < frames + 100
    assert page.evaluate(SATURATION) > 50
    page.wait_for_timeout(1100)
    assert 5 < float(page.inner_text("#m-age")) < 1000
    assert page.inner_text("#m-size") == f"{SIZE.width}x{SIZE.height}"
    page.select_option("#transport", "websocket")
    expect(page.locator("#m-transport")).to_contain_text("WebSocket", timeout=PATIENCE_MS)
    frames = seat.meter.frames
    page.wait_for_timeout(600)
    assert seat.meter.frames > frames + 3
    assert not owner._outbox.held
    page.close()
    until_empty(server)


def test_the_age_over_webrtc_is_that_of_the_picture(
    serve: StartServer, open_page: OpenPage, numbers: Path
) -> None:
    """The page's meter against a barcode that the camera itself shows."""
    page = open_page(serve(IDENTITY).url + "/#transport=webrtc", numbers)
    over_webrtc(page)
    pairs: list[list[int]] = page.evaluate(NUMBERS, [BITS, 90])
    behind = sorted((a - b) % FRAMES for a, b in pairs if a < FRAMES and b < FRAMES)
    assert len(behind) > 60
    by_barcode_ms = 1000 * behind[len(behind) // 2] / FPS
    page.wait_for_timeout(1100)
    by_meter_ms = float(page.inner_text("#m-age"))
    assert by_barcode_ms <= 400
    assert abs(by_meter_ms - by_barcode_ms) < 120


def test_without_a_way_the_page_stays_on_the_websocket_and_says_so(
    serve: StartServer, open_page: OpenPage
) -> None:
    def lead_astray(route: Route) -> None:
        """Both ends hear of addresses that no one has."""
        offer = json.loads(route.request.post_data or "{}")
        answer = route.fetch(post_data=json.dumps({**offer, "sdp": astray(offer["sdp"])}))
        told = answer.json()
        route.fulfill(response=answer, json={**told, "sdp": astray(told["sdp"])})

    page = open_page("about:blank")
    page.route("**/api/webrtc", lead_astray)
    page.goto(serve().url + "/#transport=webrtc")
    begin(page)
    expect(page.locator("#banner")).to_contain_text("over the WebSocket", timeout=PATIENCE_MS)
    expect(page.locator("#m-transport")).to_contain_text("WebSocket")
    page.fill("#prompt", "thermal camera")
    page.press("#prompt", "Enter")
    settle(page, "#applied", "holds from frame")
    assert page.evaluate(SATURATION) > 60


def until_empty(server: Server) -> None:
    """The seat, the place and the connection of who left are free."""
    until = time.monotonic() + 10
    house = server.house
    while house.admission.taken or house.peers or house.host.seats:
        assert time.monotonic() < until
        time.sleep(0.05)


def astray(sdp: str) -> str:
    return re.sub(r"(a=candidate:\S+ \d \S+ \d+) \S+", rf"\1 {NOWHERE}", sdp)
