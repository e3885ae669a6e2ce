// @ts-check
/**
 * The pictures of a session by WebRTC. Neither end is told the id or the age of a frame there, so
 * the id stands in the picture: a strip of cells below it (everframe/serve/marker.py).
 */

const STRIP = 16;
const ID_BITS = 24;
const CELLS = ID_BITS + 8;
const CHECK = 0xa5;
const CONNECT_MS = 4000;
const GATHER_MS = 1000;
const SILENCE_MS = 4000;
const MAX_BITRATE = 8e6;
const REMEMBERED = 256;

/** @param {number} id */
const check = (id) => CHECK ^ (id & 255) ^ ((id >> 8) & 255) ^ ((id >> 16) & 255);

/** @param {OffscreenCanvasRenderingContext2D} c @param {number} id @param {number} width
 * @param {number} top */
export function stamp(c, id, width, top) {
  const bits = [...Array(CELLS).keys()].map((i) =>
    i < ID_BITS ? (id >> (ID_BITS - 1 - i)) & 1 : (check(id) >> (CELLS - 1 - i)) & 1);
  c.fillStyle = "#000";
  c.fillRect(0, top, width, STRIP);
  c.fillStyle = "#fff";
  bits.forEach((bit, i) => {
    const left = Math.ceil((i * width) / CELLS);
    if (bit) c.fillRect(left, top, Math.ceil(((i + 1) * width) / CELLS) - left, STRIP);
  });
}

/** The number in a strip, -1 if it cannot be read. @param {ImageData} strip */
export function read(strip) {
  let id = 0;
  let checked = 0;
  for (let i = 0; i < CELLS; i += 1) {
    const x = Math.floor(((2 * i + 1) * strip.width) / (2 * CELLS));
    let sum = 0;
    for (let y = STRIP / 2 - 2; y < STRIP / 2 + 2; y += 1) sum += strip.data[4 * (y * strip.width + x) + 1];
    const bit = sum > 4 * 127 ? 1 : 0;
    if (i < ID_BITS) id = (id << 1) | bit;
    else checked = (checked << 1) | bit;
  }
  return checked === check(id) ? id : -1;
}

/** Frames into a track: by a generator where the browser has one, else by a canvas. */
class Outlet {
  constructor() {
    this._canvas = new OffscreenCanvas(16, 16);
    this._shown = document.createElement("canvas");
    // @ts-ignore: in Chromium; not in TypeScript's library
    const Generator = globalThis.MediaStreamTrackGenerator;
    if (Generator) {
      this.track = new Generator({ kind: "video" });
      this._writer = this.track.writable.getWriter();
    } else {
      this._shown.getContext("2d");
      [this.track] = this._shown.captureStream(0).getVideoTracks();
    }
    this.track.contentHint = "motion";
  }

  /** @param {OffscreenCanvas} picture @param {number} id */
  async put(picture, id) {
    const { width, height } = picture;
    const target = this._writer ? this._canvas : this._shown;
    if (target.width !== width) target.width = width;
    if (target.height !== height + STRIP) target.height = height + STRIP;
    const c = /** @type {OffscreenCanvasRenderingContext2D} */ (target.getContext("2d", { alpha: false }));
    c.drawImage(picture, 0, 0);
    stamp(c, id, width, height);
    if (this._writer) {
      await this._writer.write(new VideoFrame(this._canvas, { timestamp: 1000 * performance.now() }));
    } else {
      this.track.requestFrame();
    }
  }

  stop() {
    this.track.stop();
  }
}

/** @typedef {import("./transport_ws.js").Transport} Transport */
/** @implements {Transport} */
export class WebRtcTransport {
  /** @param {import("./everframe.js").LiveClient} live @param {(why: string) => void} lost called
   * once if it breaks off */
  constructor(live, lost) {
    this.live = live;
    this.label = "WebRTC";
    this._lost = lost;
    this._outlet = new Outlet();
    this._peer = new RTCPeerConnection();
    this._strip = new OffscreenCanvas(16, STRIP);
    /** @type {Map<number, number>} */
    this._sent = new Map();
    this._heard = 0;
    this._over = false;
    this._watch = 0;
  }

  /** Connect; rejects if that does not succeed within some seconds. */
  async open() {
    const peer = this._peer;
    const { sender, receiver } = peer.addTransceiver(this._outlet.track, {
      direction: "sendrecv",
      sendEncodings: [{ maxBitrate: MAX_BITRATE }],
    });
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    peer.ontrack = ({ track }) => this._receive(track);
    const connected = new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error("no connection within 4 s")), CONNECT_MS);
      peer.onconnectionstatechange = () => {
        if (peer.connectionState === "connected") resolve(undefined);
        if (peer.connectionState === "failed") {
          reject(new Error("no way between browser and server"));
          this._end("the connection failed");
        }
      };
    });
    connected.catch(() => {});
    await peer.setLocalDescription(await peer.createOffer());
    await this._gathered();
    const answer = await fetch("/api/webrtc", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(this.live.token ? { authorization: `Bearer ${this.live.token}` } : {}),
      },
      body: JSON.stringify({ sdp: peer.localDescription?.sdp, resume: this.live.session.resume_token }),
    });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    await peer.setRemoteDescription({ type: "answer", sdp: (await answer.json()).sdp });
    const wish = sender.getParameters();
    await sender.setParameters({ ...wish, degradationPreference: "maintain-resolution" }).catch(() => {});
    await connected;
    this._heard = performance.now();
    this._watch = setInterval(() => this._listen(), 1000);
  }

  get ready() {
    return !this._over && this.live.state === "live" && this._peer.connectionState === "connected";
  }

  /** @param {OffscreenCanvas} canvas @param {number} captureMs */
  async send(canvas, captureMs) {
    const id = this.live.nextFrame();
    this._sent.set(id, captureMs);
    this._sent.delete(id - REMEMBERED);
    if (this._sent.size === 1) this._heard = performance.now();
    await this._outlet.put(canvas, id);
  }

  close() {
    if (!this._over) this.live.forgo();
    this._over = true;
    clearInterval(this._watch);
    this._outlet.stop();
    this._peer.close();
  }

  /** Frames go out and nothing comes back: it does not work, whatever it says. */
  _listen() {
    if (this._sent.size && performance.now() - this._heard > SILENCE_MS) this._end("no pictures came back");
    if (!this._sent.size) this._heard = performance.now();
  }

  /** @param {string} why */
  _end(why) {
    if (this._over) return;
    this.close();
    this._lost(why);
  }

  _gathered() {
    const peer = this._peer;
    return new Promise((resolve) => {
      setTimeout(resolve, GATHER_MS);
      peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && resolve(undefined);
    });
  }

  /** @param {MediaStreamTrack} track */
  async _receive(track) {
    if (!("MediaStreamTrackProcessor" in globalThis)) {
      this._play(track);
      return;
    }
    // @ts-expect-error: in Chromium; not in TypeScript's library
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1 }).readable.getReader();
    for (;;) {
      const { value: frame, done } = await reader.read();
      if (done) return;
      try {
        if (!this._over) this._see(frame, frame.displayWidth, frame.displayHeight);
      } finally {
        frame.close();
      }
    }
  }

  /** @param {MediaStreamTrack} track */
  _play(track) {
    const video = document.createElement("video");
    video.muted = true;
    video.srcObject = new MediaStream([track]);
    const next = () => video.requestVideoFrameCallback(() => {
      if (this._over) return;
      this._see(video, video.videoWidth, video.videoHeight);
      next();
    });
    next();
    video.play().catch(() => {});
  }

  /** @param {CanvasImageSource} image @param {number} width @param {number} full */
  _see(image, width, full) {
    const height = full - STRIP;
    if (this._strip.width !== width) this._strip.width = width;
    const c = /** @type {OffscreenCanvasRenderingContext2D} */ (
      this._strip.getContext("2d", { alpha: false, willReadFrequently: true })
    );
    c.drawImage(image, 0, height, width, STRIP, 0, 0, width, STRIP);
    const frameId = read(c.getImageData(0, 0, width, STRIP));
    const captureMs = this._sent.get(frameId);
    if (captureMs === undefined) return;
    this._heard = performance.now();
    this.live.deliver({
      frameId, captureMs, serverMs: 0, width, height, codec: 0, flags: 0, data: new Uint8Array(0), image,
    });
  }
}
