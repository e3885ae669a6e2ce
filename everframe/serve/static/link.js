// @ts-check
/**
 * The one connection of the page, whichever way it goes: `auto` takes the WebSocket on this machine
 * and WebRTC over a network; where WebRTC finds no way, the WebSocket is taken and the page says so.
 * Over a network the WebSocket carries H.264 where the browser has it, else JPEG.
 */

import { Call } from "./call.js";
import { LiveClient } from "./everframe.js";
import { supported } from "./h264.js";

const EVENTS = ["state", "picture", "stats", "created", "queue", "warning", "problem", "lost"];
const HERE = ["localhost", "127.0.0.1", "[::1]"];

/** @typedef {"auto" | "websocket" | "h264" | "webrtc"} Way */

export class Link extends EventTarget {
  /** @param {{token?: string}} [options] */
  constructor(options = {}) {
    super();
    this.socket = new LiveClient(options);
    this.call = new Call(options);
    /** @type {LiveClient | Call} */
    this._used = this.socket;
    /** @type {MediaStream | null} */
    this._stream = null;
    /** @type {Record<string, any>} */
    this._settings = {};
    this.codec = "jpeg";
    for (const client of [this.socket, this.call]) {
      for (const name of EVENTS) {
        client.addEventListener(name, (event) => {
          if (client !== this._used) return;
          if (name === "lost") this._redial();
          else this.dispatchEvent(new CustomEvent(name, { detail: /** @type {CustomEvent} */ (event).detail }));
        });
      }
    }
  }

  get state() {
    return this._used.state;
  }

  get skipped() {
    return this._used.skipped;
  }

  /** Whether the browser sends the camera by itself. */
  get calls() {
    return this._used === this.call;
  }

  /** @param {Way} way @param {Record<string, any>} settings @param {MediaStream | null} stream */
  async start(way, settings, stream) {
    this._settings = settings;
    this._stream = stream;
    let warning = "";
    const wanted = way === "webrtc" || (way === "auto" && !HERE.includes(location.hostname));
    if (wanted && stream && "RTCPeerConnection" in globalThis) {
      this._used = this.call;
      try {
        await this.call.start(settings, stream);
        return;
      } catch (error) {
        warning = `${/** @type {Error} */ (error).message}: using the WebSocket instead`;
      }
    } else if (wanted) {
      warning = "this source cannot be sent by WebRTC: using the WebSocket instead";
    }
    this._used = this.socket;
    this.socket.session = {};
    const far = way === "h264" || (way !== "websocket" && !HERE.includes(location.hostname));
    const [width, height] = settings.size;
    this.codec = far && (await supported(width, height)) ? "h264" : "jpeg";
    if (way === "h264" && this.codec === "jpeg") warning = "this browser has no H.264: using JPEG";
    await this.socket.start({ ...settings, codec: this.codec });
    if (warning) this._say("warning", { message: warning });
  }

  /** Another camera. @param {MediaStream | null} stream @returns {Promise<boolean>} whether the
   * running connection takes it */
  async feed(stream) {
    if (!this.calls) return true;
    if (!stream) return false;
    this._stream = stream;
    await this.call.replace(stream.getVideoTracks()[0]);
    return true;
  }

  /** @param {Record<string, any>} settings @returns {Promise<number>} */
  update(settings) {
    const { transition_s: _, ...kept } = settings;
    Object.assign(this._settings, kept);
    return this._used.update(settings);
  }

  /** @returns {Promise<number>} */
  reset() {
    return this._used.reset();
  }

  end() {
    this._used.end();
    this.socket.session = {};
  }

  /** @param {{p50: number, p95: number}} ms */
  report(ms) {
    this._used.report(ms);
  }

  /** A call that broke off begins anew, by whatever way there is now. */
  _redial() {
    this.start("webrtc", this._settings, this._stream).catch((error) => {
      this._say("problem", { message: /** @type {Error} */ (error).message });
    });
  }

  /** @param {string} name @param {any} detail */
  _say(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
