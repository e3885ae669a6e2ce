// @ts-check
/** Snapshot, recording, and sound in time with the picture. */

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const stamp = () => new Date().toISOString().slice(0, 19).replaceAll(":", "-");

/** @param {HTMLCanvasElement} canvas */
export function snapshot(canvas) {
  canvas.toBlob((blob) => blob && download(blob, `everframe-${stamp()}.png`), "image/png");
}

/** Sound of a stream, delayed by the age of the pictures: for recordings, and for the ear if wished. */
export class Sound {
  /** @param {boolean} heard */
  constructor(heard) {
    this._context = new AudioContext();
    this._delay = this._context.createDelay(2);
    if (heard) this._delay.connect(this._context.destination);
    this.recorded = this._context.createMediaStreamDestination();
    this._delay.connect(this.recorded);
    /** @type {MediaStreamAudioSourceNode | null} */
    this._source = null;
  }

  /** @param {MediaStream} stream */
  play(stream) {
    this._source?.disconnect();
    this._source = this._context.createMediaStreamSource(stream);
    this._source.connect(this._delay);
    this._context.resume();
  }

  /** @param {number} ms */
  late(ms) {
    this._delay.delayTime.setTargetAtTime(Math.min(1.9, ms / 1000), this._context.currentTime, 0.3);
  }

  stop() {
    this._context.close();
  }
}

/** The browser asks before it closes the page: the recording would be lost. @param {Event} event */
const ask = (event) => event.preventDefault();

export class Recorder {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    /** @type {MediaRecorder | null} */
    this._recorder = null;
    this._since = 0;
  }

  get running() {
    return this._recorder !== null;
  }

  /** Minutes and seconds of it. */
  get time() {
    const s = Math.floor((performance.now() - this._since) / 1000);
    return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
  }

  /** @param {MediaStreamTrack[]} sound */
  start(sound) {
    const stream = this.canvas.captureStream(30);
    for (const track of sound) stream.addTrack(track);
    const type = ["video/mp4;codecs=avc1,opus", "video/webm;codecs=vp9,opus", "video/webm"].find((t) =>
      MediaRecorder.isTypeSupported(t),
    );
    /** @type {Blob[]} */
    const parts = [];
    const recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 6e6 });
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      const plain = (recorder.mimeType || "video/webm").split(";")[0];
      download(new Blob(parts, { type: plain }), `everframe-${stamp()}.${plain.split("/")[1]}`);
    };
    recorder.start(1000);
    this._recorder = recorder;
    this._since = performance.now();
    addEventListener("beforeunload", ask);
  }

  stop() {
    this._recorder?.stop();
    removeEventListener("beforeunload", ask);
    this._recorder = null;
  }
}
