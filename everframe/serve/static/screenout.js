// @ts-check
/** Draws what comes back, and knows how old it is when it is shown. */

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
  }

  /** @param {import("./everframe.js").Picture} picture */
  async show(picture) {
    const blob = new Blob([/** @type {BlobPart} */ (picture.data)], { type: "image/jpeg" });
    const image = await createImageBitmap(blob);
    if (picture.frameId < this._drawn && this._drawn - picture.frameId < 1000) {
      image.close(); // decoded after a newer one
      return;
    }
    this._drawn = picture.frameId;
    if (this.canvas.width !== picture.width || this.canvas.height !== picture.height) {
      this.canvas.width = picture.width;
      this.canvas.height = picture.height;
    }
    this.context.drawImage(image, 0, 0);
    image.close();
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
