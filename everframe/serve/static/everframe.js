// @ts-check
/**
 * Client of `everframe live`: a WebSocket, JSON messages and pictures. No page, no framework.
 *
 *   import { LiveClient } from "/static/everframe.js";
 *   const live = new LiveClient({ token });
 *   live.addEventListener("picture", (e) => draw(e.detail));
 *   await live.start({ prompt: "pencil sketch" });
 *   live.send(jpegBlob, { width, height, captureMs: performance.now() });
 *   const firstFrame = await live.update({ prompt: "oil painting" });
 *
 * Events: state, picture, stats, created, queue, warning, problem. docs/live.md has the protocol.
 */

const VERSION = 1;
const HEADER = 32;
const IN_FLIGHT = 3;
const ANSWER_MS = 30000;
const RETRY_MS = [250, 500, 1000, 2000, 4000];
export const CODEC_H264 = 1;
export const FLAG_KEY = 1;
export const FLAG_FALLBACK = 2;
export const FLAG_BYPASS = 4;

/**
 * @typedef {{frameId: number, captureMs: number, serverMs: number, width: number, height: number,
 *   codec: number, flags: number, data: Uint8Array, image?: CanvasImageSource}} Picture `image`: it is decoded
 *   already, and valid during the event only
 * @typedef {"idle" | "connecting" | "waiting" | "live" | "reconnecting" | "ended"} State
 */

/** @param {ArrayBuffer} buffer @returns {Picture} */
export function unpack(buffer) {
  const view = new DataView(buffer);
  return {
    codec: view.getUint8(1),
    flags: view.getUint8(2),
    frameId: view.getUint32(4, true),
    captureMs: view.getFloat64(8, true),
    width: view.getUint16(16, true),
    height: view.getUint16(18, true),
    serverMs: view.getFloat64(24, true),
    data: new Uint8Array(buffer, HEADER, view.getUint32(20, true)),
  };
}

/**
 * @param {ArrayBuffer} payload
 * @param {{frameId: number, captureMs: number, width: number, height: number, codec?: number,
 *   key?: boolean}} frame
 */
export function pack(payload, frame) {
  const message = new Uint8Array(HEADER + payload.byteLength);
  const view = new DataView(message.buffer);
  view.setUint8(0, VERSION);
  view.setUint8(1, frame.codec ?? 0);
  view.setUint8(2, frame.key ? FLAG_KEY : 0);
  view.setUint32(4, frame.frameId, true);
  view.setFloat64(8, frame.captureMs, true);
  view.setUint16(16, frame.width, true);
  view.setUint16(18, frame.height, true);
  view.setUint32(20, payload.byteLength, true);
  message.set(new Uint8Array(payload), HEADER);
  return message;
}

export class LiveClient extends EventTarget {
  /** @param {{url?: string, token?: string}} [options] */
  constructor(options = {}) {
    super();
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.url = options.url ?? `${scheme}//${location.host}/ws`;
    this.token = options.token ?? "";
    /** @type {State} */
    this.state = "idle";
    /** @type {Record<string, any>} */
    this.session = {};
    this.skipped = 0;
    /** @type {WebSocket | null} */
    this._socket = null;
    /** @type {Record<string, any> | null} */
    this._wanted = null;
    /** @type {Map<string, {resolve: (m: any) => void, reject: (e: Error) => void}>} */
    this._asked = new Map();
    this._count = 0;
    this._frame = 0;
    this._answered = 0;
    this._tries = 0;
    this._over = false;
  }

  /** Open a session; resolves with `session.created`. @param {Record<string, any>} settings */
  async start(settings) {
    this._over = false;
    this._wanted = { type: "session.start", codec: "jpeg", ...settings };
    try {
      return await this._open();
    } catch (error) {
      if (this._socket?.readyState === WebSocket.OPEN) this.end(); // it was refused; else it is tried again
      throw error;
    }
  }

  /** Watch another connection's session. @param {string} session */
  async attach(session) {
    this._over = false;
    this._wanted = { type: "view.attach", session };
    return this._open();
  }

  /** Settings that a session shall begin with if the connection breaks off.
   * @param {Record<string, any>} settings */
  keep(settings) {
    const { transition_s: _, ...kept } = settings;
    if (this._wanted) Object.assign(this._wanted, kept);
  }

  /** Change settings; resolves with the id of the first frame that has them.
   * @param {Record<string, any>} settings @returns {Promise<number>} */
  async update(settings) {
    this.keep(settings);
    return (await this._ask({ type: "session.update", ...settings })).frame;
  }

  /** Forget the past. @returns {Promise<number>} */
  async reset() {
    return (await this._ask({ type: "session.reset" })).frame;
  }

  /** End the session for good. */
  end() {
    this._over = true;
    this._say({ type: "session.end" });
    this._socket?.close();
    this.session = {};
    this._become("ended");
  }

  /** Whether a frame may be sent now; a frame left out counts as skipped. */
  get ready() {
    return this.state === "live" && this._frame - this._answered < IN_FLIGHT;
  }

  /** How pictures are coded on the WebSocket: jpeg, h264 or raw. */
  get codec() {
    return this._wanted?.codec ?? "jpeg";
  }

  /** Send a coded camera frame. @param {ArrayBuffer} coded
   * @param {{width: number, height: number, captureMs: number, codec?: number, key?: boolean}} frame
   * @returns {number} its id, or -1 if it was left out */
  send(coded, frame) {
    // the socket may have closed while the frame was coded, before its event came
    if (!this.ready || this._socket?.readyState !== WebSocket.OPEN) {
      this.skipped += 1;
      return -1;
    }
    this._socket.send(pack(coded, { frameId: this.nextFrame(), ...frame }));
    return this._frame;
  }

  /** The id of a frame that another road than the WebSocket carries. */
  nextFrame() {
    this._frame += 1;
    return this._frame;
  }

  /** Frames that are on a road which is left are not waited for. */
  forgo() {
    this._answered = this._frame;
  }

  /** A picture that came, by whatever road. @param {Picture} picture */
  deliver(picture) {
    this._answered = Math.max(this._answered, picture.frameId);
    this._emit("picture", picture);
  }

  /** Tell the server what the viewer measured. @param {{p50: number, p95: number}} ms */
  report(ms) {
    this._say({ type: "client.stats", capture_to_display_ms: ms });
  }

  async _open() {
    this._become(this._tries ? "reconnecting" : "connecting");
    const offered = ["everframe.v1"];
    if (this.token) offered.push(`token.${this.token}`);
    const before = this._socket;
    const socket = new WebSocket(this.url, offered);
    socket.binaryType = "arraybuffer";
    this._socket = socket;
    before?.close();
    socket.onmessage = (event) => {
      if (socket === this._socket) this._hear(event.data);
    };
    socket.onclose = (event) => this._lost(socket, event);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error("no server, or it refuses this page"));
    });
    const wanted = { ...this._wanted };
    if (wanted.type === "session.start" && this.session.resume_token) {
      wanted.resume = this.session.resume_token;
    }
    if (wanted.type === "view.attach") {
      this._say(wanted);
      this._joined({});
      return {};
    }
    const created = await this._ask(wanted, 0);
    this._joined(created);
    return created;
  }

  /** @param {Record<string, any>} created */
  _joined(created) {
    this.session = created;
    this._answered = this._frame;
    this._tries = 0;
    this._become("live");
    this._emit("created", created);
  }

  /** @param {string | ArrayBuffer} data */
  _hear(data) {
    if (typeof data !== "string") {
      this.deliver(unpack(data));
      return;
    }
    const message = JSON.parse(data);
    const asked = this._asked.get(message.event_id);
    if (asked) {
      this._asked.delete(message.event_id);
      if (message.type === "error") asked.reject(new Error(message.message));
      else asked.resolve(message);
      return;
    }
    if (message.type === "session.stats") this._emit("stats", message);
    else if (message.type === "session.queue") {
      this._become("waiting");
      this._emit("queue", message);
    } else if (message.type === "session.warning") this._emit("warning", message);
    else if (message.type === "session.ended") {
      this.session = {};
      this._over = this._wanted?.type !== "view.attach";
      this._become("ended");
      this._emit("problem", { message: message.reason });
    } else if (message.type === "error") {
      this._answered = this._frame;
      this._emit("problem", message);
    }
  }

  /** @param {WebSocket} socket @param {CloseEvent} event */
  _lost(socket, event) {
    if (socket !== this._socket) return;
    for (const { reject } of this._asked.values()) reject(new Error("the connection broke off"));
    this._asked.clear();
    if (this._over || event.code === 1008) {
      this._become("ended");
      if (event.reason) this._emit("problem", { message: event.reason });
      return;
    }
    const pause = RETRY_MS[Math.min(this._tries, RETRY_MS.length - 1)];
    this._tries += 1;
    this._become("reconnecting");
    setTimeout(() => {
      if (!this._over) this._open().catch(() => this._again());
    }, pause);
  }

  /** A session that could not be resumed begins anew. */
  _again() {
    if (this._socket?.readyState === WebSocket.OPEN) {
      this.session = {};
      this._socket.close();
    }
  }

  /** @param {Record<string, any>} message @param {number} [timeout] ms; 0: none */
  _ask(message, timeout = ANSWER_MS) {
    this._count += 1;
    const event_id = `p${this._count}`;
    return new Promise((resolve, reject) => {
      this._asked.set(event_id, { resolve, reject });
      if (!this._say({ ...message, event_id })) reject(new Error("not connected"));
      if (timeout) {
        setTimeout(() => {
          if (this._asked.delete(event_id)) reject(new Error("no answer from the server"));
        }, timeout);
      }
    });
  }

  /** @param {Record<string, any>} message */
  _say(message) {
    if (this._socket?.readyState !== WebSocket.OPEN) return false;
    this._socket.send(JSON.stringify(message));
    return true;
  }

  /** @param {State} state */
  _become(state) {
    if (state === this.state) return;
    this.state = state;
    this._emit("state", state);
  }

  /** @param {string} name @param {any} detail */
  _emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
