// @ts-check
/**
 * Frames of a playing video, as fast as the transport takes them; the newest wins.
 *
 * Where the browser has MediaStreamTrackProcessor, frames come from the track itself: a hidden tab
 * (OBS in front of it) draws nothing, and callbacks of the video element would stop.
 */

export class Capture {
  /** @param {HTMLVideoElement} video @param {import("./transports.js").Transports} transports */
  constructor(video, transports) {
    this.video = video;
    this.transports = transports;
    this.mirror = false;
    this.size = { width: 288, height: 224 };
    this.running = false;
    this._busy = false;
    /** @type {{frame: VideoFrame, captured: number} | null} the newest that came while busy */
    this._held = null;
    this._canvas = new OffscreenCanvas(288, 224);
    this._handle = 0;
    this._round = 0;
  }

  /** @param {MediaStream | null} stream of the video, if it shows one */
  start(stream) {
    this.stop();
    this.running = true;
    const track = stream?.getVideoTracks()[0];
    if (track && "MediaStreamTrackProcessor" in globalThis) this._read(track, this._round);
    else this._next();
  }

  /** @param {MediaStreamTrack} track @param {number} round */
  async _read(track, round) {
    // @ts-expect-error: in Chromium; not in TypeScript's library
    const processor = new MediaStreamTrackProcessor({ track, maxBufferSize: 1 });
    const reader = processor.readable.getReader();
    while (round === this._round) {
      const { value: frame, done } = await reader.read();
      if (done) break;
      if (round !== this._round) {
        frame.close();
        break;
      }
      const captured = frame.metadata?.().captureTime ?? performance.now();
      this._offer(frame, captured);
    }
    reader.cancel().catch(() => {});
  }

  /** Now, or after the one that is being coded. @param {VideoFrame} frame @param {number} captured */
  _offer(frame, captured) {
    if (this._busy) {
      this._drop();
      this._held = { frame, captured };
      return;
    }
    this._take(frame, captured).catch(() => {}).finally(() => {
      const next = this._held;
      this._held = null;
      if (next) this._offer(next.frame, next.captured);
    });
    frame.close(); // it was drawn at once or left out
  }

  /** The frame that waits is overtaken. */
  _drop() {
    if (!this._held) return;
    this._held.frame.close();
    this._held = null;
    this.transports.live.skipped += 1;
  }

  stop() {
    this.running = false;
    this._round += 1;
    this._held?.frame.close();
    this._held = null;
    this.video.cancelVideoFrameCallback(this._handle);
  }

  _next() {
    this._handle = this.video.requestVideoFrameCallback((now, frame) => {
      if (!this.running) return;
      this._next();
      this._take(this.video, frame.captureTime ?? now).catch(() => {});
    });
  }

  /** @param {CanvasImageSource} picture @param {number} captureMs */
  async _take(picture, captureMs) {
    const { current: transport, live } = this.transports;
    if (live.state !== "live") return; // no session yet: nothing is lost
    if (this._busy || !transport.ready) {
      live.skipped += 1;
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
      context.drawImage(picture, 0, 0, width, height);
      await transport.send(this._canvas, captureMs);
    } finally {
      this._busy = false;
    }
  }
}
