// @ts-check
/**
 * H.264 by WebCodecs, for a WebSocket over a network: a third of the bytes of JPEG. Each picture
 * builds on the one before: one that the connection does not take makes the next a key frame.
 */

import { FLAG_KEY } from "./everframe.js";

const CODEC = "avc1.42E028";
const KEY_MS = 2000;
const BITS_PER_PIXEL = 0.12;
const FPS = 30;

/** @param {number} width @param {number} height @returns {VideoEncoderConfig} */
function config(width, height) {
  return {
    codec: CODEC,
    width,
    height,
    bitrate: Math.max(600e3, BITS_PER_PIXEL * FPS * width * height),
    framerate: FPS,
    latencyMode: "realtime",
    avc: { format: "annexb" },
  };
}

/** Whether this browser codes and decodes it. @param {number} width @param {number} height */
export async function supported(width, height) {
  if (!("VideoEncoder" in globalThis) || !("VideoDecoder" in globalThis)) return false;
  const both = await Promise.all([
    VideoEncoder.isConfigSupported(config(width, height)),
    VideoDecoder.isConfigSupported({ codec: CODEC }),
  ]);
  return both.every((one) => one.supported);
}

export class Coder {
  constructor() {
    this._size = "";
    this._keyAt = -Infinity;
    /** @type {Map<number, (data: ArrayBuffer, key: boolean) => boolean>} */
    this._waiting = new Map();
    this._encoder = new VideoEncoder({
      output: (chunk) => this._made(chunk),
      error: () => {
        this._size = "";
      },
    });
  }

  /** The next picture stands alone: a new connection, or one was lost. */
  begin() {
    this._keyAt = -Infinity;
  }

  /** @param {OffscreenCanvas} canvas @param {number} captureMs
   * @param {(data: ArrayBuffer, key: boolean) => boolean} send whether the connection took it */
  encode(canvas, captureMs, send) {
    const size = `${canvas.width}x${canvas.height}`;
    if (size !== this._size) {
      this._encoder.configure(config(canvas.width, canvas.height));
      this._size = size;
      this.begin();
    }
    const timestamp = Math.round(1000 * captureMs);
    const keyFrame = captureMs - this._keyAt > KEY_MS;
    if (keyFrame) this._keyAt = captureMs;
    this._waiting.set(timestamp, send);
    const frame = new VideoFrame(canvas, { timestamp });
    this._encoder.encode(frame, { keyFrame });
    frame.close();
  }

  /** @param {EncodedVideoChunk} chunk */
  _made(chunk) {
    const send = this._waiting.get(chunk.timestamp);
    this._waiting.delete(chunk.timestamp);
    const data = new ArrayBuffer(chunk.byteLength);
    chunk.copyTo(data);
    if (!send?.(data, chunk.type === "key")) this.begin();
  }

  stop() {
    if (this._encoder.state !== "closed") this._encoder.close();
  }
}

/** Pictures of the server back to bitmaps, in order. */
export class Decoder {
  /** @param {(frame: VideoFrame, picture: import("./everframe.js").Picture) => void} show */
  constructor(show) {
    this._show = show;
    /** @type {Map<number, import("./everframe.js").Picture>} */
    this._waiting = new Map();
    /** @type {VideoDecoder | null} */
    this._decoder = null;
  }

  /** @param {import("./everframe.js").Picture} picture */
  decode(picture) {
    const key = (picture.flags & FLAG_KEY) !== 0;
    if (!this._decoder || this._decoder.state === "closed") {
      if (!key) return; // nothing to build on
      this._waiting.clear();
      this._decoder = new VideoDecoder({ output: (frame) => this._out(frame), error: () => {} });
      this._decoder.configure({ codec: CODEC, optimizeForLatency: true });
    }
    this._waiting.set(picture.frameId, picture);
    this._decoder.decode(
      new EncodedVideoChunk({
        type: key ? "key" : "delta",
        timestamp: picture.frameId,
        data: picture.data,
      }),
    );
  }

  /** @param {VideoFrame} frame */
  _out(frame) {
    const picture = this._waiting.get(frame.timestamp);
    this._waiting.delete(frame.timestamp);
    if (picture) this._show(frame, picture);
    frame.close();
  }
}
