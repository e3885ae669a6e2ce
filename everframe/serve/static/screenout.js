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
    this._decoder = new Decoder((frame, picture) => this._draw(picture, frame));
  }

  /** @param {import("./everframe.js").Picture} picture */
  async show(picture) {
    if (picture.image) {
      this._draw(picture, picture.image);
      return;
    }
    if (picture.codec === CODEC_H264) {
      this._decoder.decode(picture);
      return;
    }
    const blob = new Blob([/** @type {BlobPart} */ (picture.data)], { type: "image/jpeg" });
    const image = await createImageBitmap(blob);
    this._draw(picture, image);
    image.close();
  }

  /** @param {import("./everframe.js").Picture} picture @param {CanvasImageSource} image at least
   * as large as the picture; what is beyond it is left out */
  _draw(picture, image) {
    const { width, height } = picture;
    if (picture.frameId < this._drawn && this._drawn - picture.frameId < 1000) return; // decoded late
    this._drawn = picture.frameId;
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    this.context.drawImage(image, 0, 0, width, height, 0, 0, width, height);
    requestAnimationFrame((now) => {
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
