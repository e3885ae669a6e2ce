// @ts-check
/** Which road the pictures take: WebSocket first, WebRTC where it is wished and connects. */

import { supported } from "./h264.js";
import { WebRtcTransport } from "./transport_rtc.js";
import { WebSocketTransport } from "./transport_ws.js";

/** @typedef {import("./transport_ws.js").Transport} Transport */

const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];

export class Transports {
  /** @param {import("./everframe.js").LiveClient} live @param {(message: string) => void} say */
  constructor(live, say) {
    this.live = live;
    /** What the visitor chose: auto, websocket, h264 or webrtc. */
    this.wish = "auto";
    /** What the server has, as `/api/info` names it. @type {string[]} */
    this.known = [];
    this._say = say;
    this._plain = new WebSocketTransport(live);
    /** @type {Transport} */
    this.current = this._plain;
    this._round = 0;
    live.addEventListener("created", () => this.begin());
    live.addEventListener("state", () => live.state !== "live" && this.drop());
  }

  /** How the WebSocket shall code pictures: H.264 over a network, where the browser has it.
   * @param {number} width @param {number} height @returns {Promise<"jpeg" | "h264">} */
  async codec(width, height) {
    const far = !LOOPBACK.includes(location.hostname);
    const wanted = this.wish === "h264" || (this.wish !== "websocket" && far);
    return wanted && (await supported(width, height)) ? "h264" : "jpeg";
  }

  /** On this machine the WebSocket is as fast and cheaper; on a network that loses packets it is not. */
  get wantsRtc() {
    const elsewhere = !LOOPBACK.includes(location.hostname);
    return this.wish === "webrtc" || (this.wish === "auto" && elsewhere && this.known.includes("webrtc"));
  }

  /** Take the wished road; the WebSocket carries the pictures until that is open. */
  async begin() {
    this.drop();
    if (!this.wantsRtc || this.live.state !== "live") return;
    const round = this._round;
    /** @type {WebRtcTransport | null} */
    let opening = null;
    await Promise.resolve(); // others hear of the new session first
    try {
      if (this.known.length && !this.known.includes("webrtc")) {
        throw new Error("the server lacks it: pip install 'everframe[webrtc]'");
      }
      opening = new WebRtcTransport(this.live, (why) => this._fall(round, why));
      await opening.open();
      if (round === this._round) this.current = opening;
      else opening.close();
    } catch (error) {
      opening?.close();
      this._fall(round, /** @type {Error} */ (error).message);
    }
  }

  /** Back to the WebSocket. */
  drop() {
    this._round += 1;
    this.current.close();
    this.current = this._plain;
  }

  /** @param {number} round @param {string} why */
  _fall(round, why) {
    if (round !== this._round) return;
    this.drop();
    this._say(`WebRTC: ${why}; the pictures go over the WebSocket`);
  }
}
