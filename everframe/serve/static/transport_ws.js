// @ts-check
/** Camera frames as JPEG on the session's own WebSocket. */

/**
 * A road for the pictures of a session; prompts and answers stay on the WebSocket.
 * @typedef {{label: string, readonly ready: boolean, close: () => void,
 *   send: (canvas: OffscreenCanvas, captureMs: number) => Promise<void>}} Transport
 */

const QUALITY = 0.85;

/** @implements {Transport} */
export class WebSocketTransport {
  /** @param {import("./everframe.js").LiveClient} live */
  constructor(live) {
    this.live = live;
    this.label = "WebSocket, JPEG";
  }

  get ready() {
    return this.live.ready;
  }

  /** @param {OffscreenCanvas} canvas @param {number} captureMs */
  async send(canvas, captureMs) {
    const { width, height } = canvas;
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
    this.live.send(await blob.arrayBuffer(), { width, height, captureMs });
  }

  close() {}
}
