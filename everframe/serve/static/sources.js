// @ts-check
/** Where pictures come from: a camera, the screen, a file, or a moving pattern. */

/**
 * `stream` shows the pictures, if one does; `sound` has the sound, if there is any; `note` is to be told.
 * @typedef {{stream: MediaStream | null, sound: MediaStream | null, video: HTMLVideoElement, name: string,
 *   note?: string, stop: () => void}} Source
 */

const NEEDS_HTTPS = "Browsers give a camera to https pages and to this machine only: open the page on the machine " +
  "that runs everframe, or put an https proxy in front of it.";

/** What went wrong with a source, and what to do. @param {Error} error @param {string} kind of source */
export function trouble(error, kind) {
  if (kind === "screen") {
    return error.name === "NotAllowedError" ? "No screen was chosen: press Start and choose one." : error.message;
  }
  /** @type {Record<string, string>} */
  const known = {
    NotAllowedError: "The browser may not use the camera: allow it at the left end of the address bar and press Start, or try the test pattern.",
    NotFoundError: "No camera was found: plug one in and press Start, or choose a file, the screen or the test pattern.",
    NotReadableError: "The camera is used by another program: close that and press Start.",
    OverconstrainedError: "That camera is gone: choose another one.",
  };
  return known[error.name] ?? error.message;
}

/** Show a stream in the video element. @param {HTMLVideoElement} video @param {MediaStream} stream
 * @param {string} name @returns {Promise<Source>} */
async function showing(video, stream, name) {
  video.srcObject = stream;
  video.muted = true;
  await video.play();
  return {
    stream,
    sound: stream.getAudioTracks().length ? stream : null,
    video,
    name,
    stop: () => {
      for (const track of stream.getTracks()) track.stop();
      video.srcObject = null;
    },
  };
}

/** @param {HTMLVideoElement} video @param {string} device @param {boolean} sound
 * @returns {Promise<Source>} */
export async function camera(video, device, sound) {
  if (!navigator.mediaDevices) throw new Error(NEEDS_HTTPS);
  const usual = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
  const wish = device ? { ...usual, deviceId: { exact: device } } : usual;
  let note = "";
  /** @type {MediaStream} */
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: wish, audio: sound });
  } catch (error) {
    if (!sound) throw error;
    stream = await navigator.mediaDevices.getUserMedia({ video: wish });
    note = "There is no microphone, or the browser may not use it: pictures come without sound.";
  }
  return { ...(await showing(video, stream, stream.getVideoTracks()[0].label || "camera")), note };
}

/** @param {HTMLVideoElement} video @param {boolean} sound */
export async function screen(video, sound) {
  if (!navigator.mediaDevices?.getDisplayMedia) throw new Error("This browser cannot show its screen to a page.");
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: { frameRate: { ideal: 30 } },
    audio: sound,
  });
  return showing(video, stream, "screen");
}

/** @param {HTMLVideoElement} video @param {File} chosen @returns {Promise<Source>} */
export async function file(video, chosen) {
  const url = URL.createObjectURL(chosen);
  video.srcObject = null;
  video.src = url;
  video.loop = true;
  video.muted = true;
  try {
    await video.play();
  } catch {
    URL.revokeObjectURL(url);
    throw new Error(`${chosen.name} cannot be played; use MP4 (H.264) or WebM`);
  }
  return {
    stream: null,
    sound: soundOf(video),
    video,
    name: chosen.name,
    stop: () => {
      video.pause();
      video.removeAttribute("src");
      video.load();
      URL.revokeObjectURL(url);
    },
  };
}

/** @param {HTMLVideoElement} video that plays a file @returns {MediaStream | null} */
function soundOf(video) {
  // @ts-ignore: not in TypeScript's library
  const stream = /** @type {MediaStream | undefined} */ (video.captureStream?.());
  return stream?.getAudioTracks().length ? new MediaStream(stream.getAudioTracks()) : null;
}

/** A scene that moves without any camera. @param {HTMLVideoElement} video */
export async function pattern(video) {
  const canvas = document.createElement("canvas");
  canvas.width = 640;
  canvas.height = 480;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const timer = setInterval(() => drawPattern(context, performance.now() / 1000), 40);
  drawPattern(context, 0);
  const source = await showing(video, canvas.captureStream(25), "test pattern");
  const stop = source.stop;
  source.stop = () => {
    clearInterval(timer);
    stop();
  };
  return source;
}

/** @param {CanvasRenderingContext2D} c @param {number} t seconds */
function drawPattern(c, t) {
  const sky = c.createLinearGradient(0, 0, 0, 480);
  sky.addColorStop(0, "#9cc3e6");
  sky.addColorStop(0.6, "#f3e3c3");
  sky.addColorStop(0.61, "#7c8f5a");
  sky.addColorStop(1, "#4c5f3a");
  c.fillStyle = sky;
  c.fillRect(0, 0, 640, 480);
  for (let i = 0; i < 7; i += 1) {
    const x = ((i * 131 + t * (18 + 5 * i)) % 800) - 80;
    const height = 90 + ((i * 53) % 130);
    c.fillStyle = ["#b85c4a", "#d8b26a", "#6d8296", "#8a6f9c"][i % 4];
    c.fillRect(x, 290 - height, 70, height);
    c.fillStyle = "#f6f0d8";
    for (let w = 0; w < 3; w += 1) c.fillRect(x + 10 + w * 20, 305 - height, 11, 16);
  }
  c.fillStyle = "#f2c14e";
  c.beginPath();
  c.arc(520 + 40 * Math.sin(t / 3), 90 + 15 * Math.cos(t / 2), 38, 0, 7);
  c.fill();
  const bounce = Math.abs(Math.sin(t * 2.2)) * 110;
  c.fillStyle = "#d1495b";
  c.beginPath();
  c.arc(320 + 190 * Math.sin(t * 0.9), 400 - bounce, 42, 0, 7);
  c.fill();
  c.fillStyle = "rgba(0,0,0,.25)";
  c.beginPath();
  c.ellipse(320 + 190 * Math.sin(t * 0.9), 446, 44 - bounce / 6, 10, 0, 0, 7);
  c.fill();
}

/** Cameras by id and name; ids and names are empty before the first permission. */
export async function cameras() {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices
    .filter((d) => d.kind === "videoinput")
    .map((d, i) => ({ id: d.deviceId, name: d.label || `camera ${i + 1}` }));
}
