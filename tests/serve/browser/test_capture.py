"""Which camera frames the page sends while it is busy with one."""

from everframe.serve.models import IDENTITY
from tests.serve.browser.conftest import NO_CAMERA, OpenPage, StartServer

OFFERS = """async () => {
  const { Capture } = await import("/static/capture.js");
  const sent = [], made = [];
  let coded = () => {};
  const send = (_, captured) => {
    sent.push(captured);
    return new Promise((resolve) => { coded = resolve; });
  };
  const live = { state: "live", skipped: 0 };
  const transports = { live, current: { ready: true, send } };
  const capture = new Capture(document.createElement("video"), transports);
  const offer = (n) => {
    const canvas = new OffscreenCanvas(16, 16);
    canvas.getContext("2d").fillRect(0, 0, 16, 16);
    made.push(new VideoFrame(canvas, { timestamp: n }));
    capture._offer(made.at(-1), n);
  };
  const finish = () => { coded(); return new Promise((resolve) => setTimeout(resolve)); };
  const steps = [];
  const note = () => steps.push([...sent, live.skipped]);
  offer(1); offer(2); offer(3); note();
  await finish(); note();
  await finish(); offer(4); note();
  offer(5); capture.stop(); await finish(); note();
  return { steps, open: made.filter((frame) => frame.format !== null).length };
}"""
"""Frames to a capture whose coder is slow: what was sent and how many were left out."""


def test_the_newest_frame_waits_while_one_is_coded(serve: StartServer, open_page: OpenPage) -> None:
    page = open_page(serve(IDENTITY).url, NO_CAMERA)
    seen = page.evaluate(OFFERS)
    assert seen["steps"] == [[1, 1], [1, 3, 1], [1, 3, 4, 1], [1, 3, 4, 1]]
    assert seen["open"] == 0
