// @ts-check
/** Frames of a playing video as JPEG, as fast as the client takes them; the newest wins. */

/** @typedef {import("./everframe.js").LiveClient} LiveClient */

export class Capture {
  /** @param {HTMLVideoElement} video @param {LiveClient} live */
  constructor(video, live) {
    this.video = video;
    this.live = live;
    this.mirror = false;
    this.quality = 0.85;
    this.size = { width: 288, height: 224 };
    this.running = false;
    this._busy = false;
    this._canvas = new OffscreenCanvas(288, 224);
    this._handle = 0;
  }

  start() {
    if (this.running) return;
    this.running = true;
    this._next();
  }

  stop() {
    this.running = false;
    this.video.cancelVideoFrameCallback(this._handle);
  }

  _next() {
    this._handle = this.video.requestVideoFrameCallback((now, frame) => {
      if (!this.running) return;
      this._next();
      this._take(frame.captureTime ?? now).catch(() => {});
    });
  }

  /** @param {number} captureMs */
  async _take(captureMs) {
    if (this._busy || !this.live.ready) {
      this.live.skipped += 1;
      return;
    }
    this._busy = true;
    try {
      const { width, height } = this.size;
      if (this._canvas.width !== width) this._canvas.width = width;
      if (this._canvas.height !== height) this._canvas.height = height;
      const context = /** @type {OffscreenCanvasRenderingContext2D} */ (
        this._canvas.getContext("2d", { alpha: false })
      );
      context.imageSmoothingQuality = "medium";
      context.setTransform(this.mirror ? -1 : 1, 0, 0, 1, this.mirror ? width : 0, 0);
      context.drawImage(this.video, 0, 0, width, height);
      const blob = await this._canvas.convertToBlob({ type: "image/jpeg", quality: this.quality });
      this.live.send(await blob.arrayBuffer(), { width, height, captureMs });
    } finally {
      this._busy = false;
    }
  }
}
