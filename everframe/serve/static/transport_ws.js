// @ts-check
/** Camera frames as JPEG, or as H.264, on the session's own WebSocket. */

import { CODEC_H264 } from "./everframe.js";
import { Coder } from "./h264.js";

/**
 * A road for the pictures of a session; prompts and answers stay on the WebSocket.
 * @typedef {{readonly label: string, readonly ready: boolean, close: () => void,
 *   send: (canvas: OffscreenCanvas, captureMs: number) => Promise<void>}} Transport
 */

const QUALITY = 0.85;

/** @implements {Transport} */
export class WebSocketTransport {
  /** @param {import("./everframe.js").LiveClient} live */
  constructor(live) {
    this.live = live;
    /** @type {Coder | null} */
    this._coder = null;
    live.addEventListener("created", () => {
      this._coder = live.codec === "h264" ? (this._coder ?? new Coder()) : null;
      this._coder?.begin();
    });
  }

  get label() {
    return this._coder ? "WebSocket, H.264" : "WebSocket, JPEG";
  }

  get ready() {
    return this.live.ready;
  }

  /** @param {OffscreenCanvas} canvas @param {number} captureMs */
  async send(canvas, captureMs) {
    const { width, height } = canvas;
    if (this._coder) {
      this._coder.encode(canvas, captureMs, (data, key) =>
        this.live.send(data, { width, height, captureMs, codec: CODEC_H264, key }) > 0);
      return;
    }
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
    this.live.send(await blob.arrayBuffer(), { width, height, captureMs });
  }

  close() {}
}
