"""What the page says when something is missing, and whether fingers and keys can use it."""

from playwright.sync_api import expect

from everframe.serve.models import IDENTITY
from tests.serve.browser.conftest import NO_CAMERA, OpenPage, StartServer
from tests.serve.browser.test_page import PATIENCE_MS, begin

FINGER_PX = 44
SMALL = """() => [...document.querySelectorAll("button, select, input, summary, .check")]
  .filter((one) => one.offsetParent && one.type !== "checkbox")
  .map((one) => [one.id || one.textContent, one.getBoundingClientRect()])
  .filter(([, box]) => box.width < 43.9 || box.height < 43.9).map(([name]) => name)"""
"""What is too small for a finger."""
UNPLUG = "(video) => video.srcObject.getTracks()[0].dispatchEvent(new Event('ended'))"


def test_without_a_camera_the_page_says_what_to_do(serve: StartServer, open_page: OpenPage) -> None:
    page = open_page(serve(IDENTITY).url, NO_CAMERA)
    page.click("#try")
    expect(page.locator("#banner")).to_contain_text("No camera was found: plug one in")
    page.evaluate("Object.defineProperty(navigator, 'mediaDevices', { get: () => undefined })")
    page.click("#start")
    expect(page.locator("#banner")).to_contain_text("https pages and to this machine only")
    page.click("#try-pattern")
    expect(page.locator("#status")).to_contain_text("live", timeout=PATIENCE_MS)
    expect(page.locator("#banner")).to_be_hidden()
    page.fill("#find", "no such look")
    expect(page.locator("#no-look")).to_be_visible()
    page.fill("#find", "noir")
    expect(page.locator("#no-look")).to_be_hidden()
    page.fill("#prompt", "\u6d6e\u4e16\u7d75")
    page.press("#prompt", "Enter")
    expect(page.locator("#banner")).to_contain_text("reads English")
    page.click("#start")
    expect(page.locator("#status")).to_contain_text("stopped")
    expect(page.locator("#freeze")).to_be_disabled()


def test_a_wrong_token_is_said(serve: StartServer, open_page: OpenPage) -> None:
    page = open_page("about:blank", forgive="401")
    page.route("**/api/info", lambda r: r.fulfill(status=401, body="token missing or wrong\n"))
    page.goto(serve(IDENTITY).url)
    expect(page.locator("#banner")).to_have_text("token missing or wrong")
    page.click("#try")
    expect(page.locator("#banner")).to_have_text("token missing or wrong")
    expect(page.locator("#start")).to_have_text("Start")


def test_a_camera_that_goes_away_and_comes_back(serve: StartServer, open_page: OpenPage) -> None:
    page = open_page(serve(IDENTITY).url)
    begin(page)
    page.eval_on_selector("#camera", UNPLUG)
    expect(page.locator("#banner")).to_contain_text("unplugged")
    page.keyboard.press("Tab")
    page.focus("#start")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("live", timeout=PATIENCE_MS)


def test_fingers_can_use_it_on_a_phone(serve: StartServer, open_page: OpenPage) -> None:
    browser = open_page(serve(IDENTITY).url).context.browser
    assert browser is not None
    phone = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    ).new_page()
    phone.goto(serve(IDENTITY).url)
    expect(phone.locator("#looks button").first).to_be_visible()
    assert phone.evaluate(SMALL) == []
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
