// @ts-check
/** Draws what comes back, and knows how old it is when it is shown. */

import { CODEC_H264 } from "./everframe.js";
import { Decoder } from "./h264.js";

const KEPT = 200;

export class Display {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (
      canvas.getContext("2d", { desynchronized: false })
    );
    this.shown = 0;
    this.frameId = 0;
    /** @type {number[]} */
    this.ages = [];
    this._drawn = -1;
    this._decoder = new Decoder((frame, picture) => this._draw(frame, picture));
  }

  /** @param {import("./everframe.js").Picture | import("./call.js").Shown} picture */
  async show(picture) {
    if ("image" in picture) {
      this._draw(picture.image, picture);
      picture.done();
      return;
    }
    if (picture.codec === CODEC_H264) {
      this._decoder.decode(picture);
      return;
    }
    const image = await decoded(picture);
    if (picture.frameId < this._drawn && this._drawn - picture.frameId < 1000) {
      image.close(); // decoded after a newer one
      return;
    }
    this._drawn = picture.frameId;
    this._draw(image, picture);
    image.close();
  }

  /** @param {CanvasImageSource} image
   * @param {{width: number, height: number, captureMs: number, frameId: number}} picture */
  _draw(image, picture) {
    if (this.canvas.width !== picture.width || this.canvas.height !== picture.height) {
      this.canvas.width = picture.width;
      this.canvas.height = picture.height;
    }
    this.context.drawImage(image, 0, 0);
    requestAnimationFrame((now) => {
      if (Number.isNaN(picture.captureMs)) return; // not known yet
      this.ages.push(Math.max(0, now - picture.captureMs));
      if (this.ages.length > KEPT) this.ages.shift();
    });
    this.shown += 1;
    this.frameId = picture.frameId;
  }

  /** Percentiles of capture to display, ms. */
  get age() {
    const sorted = [...this.ages].sort((a, b) => a - b);
    /** @param {number} share */
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    return { p50: at(0.5), p95: at(0.95) };
  }
}

/** A JPEG as a bitmap. @param {import("./everframe.js").Picture} picture */
function decoded(picture) {
  return createImageBitmap(new Blob([/** @type {BlobPart} */ (picture.data)], { type: "image/jpeg" }));
}
