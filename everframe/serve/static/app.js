// @ts-check
/** The page of `everframe live`: connects what is on it to a session. */

import { Capture } from "./capture.js";
import { banner, box, button, canvas, input, press, select, video, write } from "./dom.js";
import { LiveClient } from "./everframe.js";
import { showFavourites, showLooks, showPast } from "./looks.js";
import { favourites, fromAddress, remember, toAddress, toggleFavourite } from "./memory.js";
import { Meter } from "./meter.js";
import { Recorder, Sound, snapshot } from "./recorder.js";
import { Display } from "./screenout.js";
import * as sources from "./sources.js";
import { Transports } from "./transports.js";
import { connectViews, setAspect, setView, VIEWS } from "./views.js";

const FIRST_PROMPT = "pencil sketch";
const FADE_S = 0.05;
const STATES = {
  idle: "not connected",
  connecting: "connecting",
  waiting: "waiting for a free place",
  live: "live",
  reconnecting: "connection lost, trying again",
  ended: "ended",
};

const address = fromAddress();
const token = address.token ?? "";
const live = new LiveClient({ token });
const display = new Display(canvas("output"));
const transports = new Transports(live, banner);
const capture = new Capture(video, transports);
const recorder = new Recorder(canvas("output"));
const meter = new Meter();
/** @type {sources.Source | null} */
let source = null;
/** @type {Sound | null} */
let sound = null;
/** @type {Record<string, any>} */
let stats = {};
let prompt = address.prompt || FIRST_PROMPT;
let frozen = false;
let panic = false;
let promised = 0;

const fadeSeconds = () => Number(input("fade").value) * FADE_S;

function settings() {
  return {
    prompt,
    prompt_b: input("prompt-b").value.trim(),
    blend: Number(input("blend").value) / 100,
    strength: Number(input("strength").value) / 100,
    seed: Math.max(0, Math.floor(Number(input("seed").value) || 0)),
    steps: Number(select("steps").value),
    limit_flicker: input("flicker").checked,
    freeze: frozen,
    bypass: panic,
  };
}

function share() {
  const s = settings();
  toAddress({
    token,
    transport: transports.wish === "auto" ? "" : transports.wish,
    prompt: s.prompt,
    prompt_b: s.prompt_b,
    blend: s.blend ? String(s.blend) : "",
    strength: s.strength < 1 ? String(s.strength) : "",
    seed: s.seed ? String(s.seed) : "",
  });
}

/** Send a change and say from which frame it holds. @param {Record<string, any>} change
 * @param {string} [said] */
async function apply(change, said = "") {
  share();
  if (live.state !== "live") return;
  try {
    promised = await live.update(change);
    if (said) write("applied", `${said} from frame ${promised}`);
  } catch (error) {
    write("applied", /** @type {Error} */ (error).message);
  }
}

/** @param {string} text */
function choosePrompt(text) {
  const wanted = text.trim();
  if (!wanted) {
    write("applied", "say how the picture shall look, for example: pencil sketch");
    return;
  }
  prompt = wanted;
  input("prompt").value = wanted;
  remember(wanted);
  showPast();
  press("favourite", favourites().includes(wanted));
  write("applied", live.state === "live" ? "..." : "");
  apply({ prompt, transition_s: fadeSeconds() }, `"${wanted}" holds`);
}

async function begin() {
  banner("");
  button("start").disabled = true;
  try {
    source?.stop();
    source = await openSource();
    box("welcome").hidden = true;
    setAspect((video.videoWidth || 4) / (video.videoHeight || 3));
    const mirrored = input("mirror").checked;
    video.classList.toggle("mirrored", mirrored);
    capture.mirror = mirrored;
    const [width, height] = select("size").value.split("x").map(Number);
    capture.size = { width, height };
    if (live.state === "idle" || live.state === "ended") {
      const codec = await transports.codec(width, height);
      await live.start({ ...settings(), size: [width, height], codec });
    }
    capture.start(source.stream);
    listen();
    write("start", "Stop");
  } catch (error) {
    explain(/** @type {Error} */ (error));
  }
  button("start").disabled = false;
}

async function changeTransport() {
  transports.wish = select("transport").value;
  share();
  banner("");
  const { width, height } = capture.size;
  if (source && live.codec !== (await transports.codec(width, height))) {
    live.end(); // a session is coded one way
    live.session = {};
    await begin();
  } else transports.begin();
}

async function openSource() {
  const wantsSound = input("sound").checked;
  switch (select("source").value) {
    case "screen":
      return sources.screen(video, wantsSound);
    case "pattern":
      return sources.pattern(video);
    case "file": {
      const chosen = input("file").files?.[0];
      if (!chosen) throw new Error("choose a video file first");
      return sources.file(video, chosen);
    }
    default:
      return sources.camera(video, select("device").value, wantsSound);
  }
}

/** @param {Error} error */
function explain(error) {
  const known = {
    NotAllowedError: "The browser may not use the camera: allow it in the address bar, or choose the test pattern.",
    NotFoundError: "No camera was found: choose a file, the screen or the test pattern.",
    NotReadableError: "The camera is used by another program: close that first.",
  };
  banner(known[/** @type {keyof typeof known} */ (error.name)] ?? error.message);
}

function stop() {
  capture.stop();
  source?.stop();
  source = null;
  sound?.stop();
  sound = null;
  live.end();
  write("start", "Start");
}

function listen() {
  sound?.stop();
  sound = null;
  if (!input("sound").checked || !source?.stream?.getAudioTracks().length) return;
  sound = new Sound();
  sound.play(source.stream);
}

async function toggleFreeze() {
  frozen = !frozen;
  press("freeze", frozen);
  await apply({ freeze: frozen }, frozen ? "frozen" : "moving");
}

async function togglePanic() {
  panic = !panic;
  press("panic", panic);
  await apply({ bypass: panic }, panic ? "the camera, untouched," : "restyled");
}

async function forget() {
  if (live.state !== "live") return;
  write("applied", `begun anew from frame ${await live.reset()}`);
}

function toggleRecord() {
  if (recorder.running) recorder.stop();
  else recorder.start(sound?.recorded.stream.getAudioTracks() ?? []);
  press("record", recorder.running);
  write("record", recorder.running ? "Stop recording" : "Record");
}

function second() {
  const age = meter.update(display, stats, live.skipped);
  if (live.state === "live" && age.p50) live.report(age);
  sound?.late(age.p50);
  write("m-transport", live.state === "live" ? transports.current.label : "-");
  const [width] = stats.received_size ?? [0];
  if (live.state === "live" && width && width < capture.size.width) {
    banner(`the browser sends ${stats.received_size.join("x")} only: the picture is less sharp than it could be`);
  }
}

function connectLive() {
  live.addEventListener("picture", (event) => display.show(/** @type {CustomEvent} */ (event).detail));
  live.addEventListener("stats", (event) => {
    stats = /** @type {CustomEvent} */ (event).detail;
  });
  live.addEventListener("created", (event) => {
    const created = /** @type {CustomEvent} */ (event).detail;
    const tail = token ? `&token=${encodeURIComponent(token)}` : "";
    input("obs").value = `${location.origin}/view#session=${created.session_id}${tail}`;
    banner("");
  });
  live.addEventListener("queue", (event) => {
    banner(`all places are taken; you are number ${/** @type {CustomEvent} */ (event).detail.position} in the queue`);
  });
  live.addEventListener("problem", (event) => banner(/** @type {CustomEvent} */ (event).detail.message));
  live.addEventListener("state", () => {
    box("status").dataset.state = live.state;
    box("status").querySelector("b")?.replaceChildren(STATES[live.state]);
    if (live.state === "reconnecting") banner("connection lost; it is tried again, nothing needs to be done");
  });
}

/** @param {string} id @param {string} shown @param {() => string} text @param {() => Record<string, any>} change */
function connectSlider(id, shown, text, change) {
  input(id).addEventListener("input", () => write(shown, text()));
  input(id).addEventListener("change", () => apply(change(), "changed"));
}

function connectSettings() {
  const percent = (/** @type {string} */ id) => `${input(id).value} %`;
  connectSlider("strength", "strength-value", () => percent("strength"), () => ({ strength: settings().strength }));
  connectSlider("blend", "blend-value", () => percent("blend"), () => ({ blend: settings().blend, prompt_b: settings().prompt_b }));
  input("fade").addEventListener("input", () => {
    write("fade-value", fadeSeconds() ? `${fadeSeconds().toFixed(1)} s` : "at once");
  });
  input("prompt-b").addEventListener("change", () => apply({ prompt_b: settings().prompt_b, blend: settings().blend }, "changed"));
  input("seed").addEventListener("change", () => apply({ seed: settings().seed }, "changed"));
  select("steps").addEventListener("change", () => apply({ steps: settings().steps }, "changed"));
  input("flicker").addEventListener("change", () => apply({ limit_flicker: input("flicker").checked }, "changed"));
  input("mirror").addEventListener("change", () => {
    capture.mirror = input("mirror").checked;
    video.classList.toggle("mirrored", capture.mirror);
  });
  input("sound").addEventListener("change", () => source && begin());
  select("transport").addEventListener("change", changeTransport);
  select("size").addEventListener("change", () => {
    if (!source) return;
    live.end();
    live.session = {};
    begin();
  });
}

function connectButtons() {
  button("start").addEventListener("click", () => (source ? stop() : begin()));
  button("try").addEventListener("click", begin);
  button("try-pattern").addEventListener("click", () => {
    select("source").value = "pattern";
    begin();
  });
  select("source").addEventListener("change", () => {
    if (select("source").value === "file") input("file").click();
    else if (source) begin();
    box("device-field").hidden = select("source").value !== "camera" || select("device").length < 2;
  });
  input("file").addEventListener("change", begin);
  select("device").addEventListener("change", () => source && begin());
  box("prompt-form").addEventListener("submit", (event) => {
    event.preventDefault();
    choosePrompt(input("prompt").value);
  });
  button("favourite").addEventListener("click", () => {
    press("favourite", toggleFavourite(input("prompt").value.trim() || prompt));
    showFavourites(choosePrompt);
  });
  button("freeze").addEventListener("click", toggleFreeze);
  button("panic").addEventListener("click", togglePanic);
  button("reset").addEventListener("click", forget);
  button("snapshot").addEventListener("click", () => snapshot(canvas("output")));
  button("record").addEventListener("click", toggleRecord);
  button("fullscreen").addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else box("stage").requestFullscreen();
  });
  button("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(input("obs").value);
    write("copy", "Copied");
  });
}

function connectKeys() {
  /** @type {Record<string, () => unknown>} */
  const keys = {
    escape: togglePanic, p: togglePanic, f: toggleFreeze, r: forget,
    s: () => snapshot(canvas("output")),
  };
  VIEWS.forEach((view, i) => {
    keys[String(i + 1)] = () => setView(view);
  });
  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const typing = target.matches("input:not([type=range], [type=checkbox]), select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Escape")) return;
    const act = keys[event.key.toLowerCase()];
    if (!act || document.fullscreenElement) return;
    event.preventDefault();
    act();
  });
}

async function load() {
  const headers = token ? { authorization: `Bearer ${token}` } : undefined;
  /** @param {string} path */
  const get = async (path) => (await fetch(path, { headers })).json();
  const info = await get("/api/info");
  transports.known = info.transports;
  const usual = info.default_size.join("x");
  for (const [width, height] of info.sizes) {
    select("size").add(new Option(`${width} x ${height}`, `${width}x${height}`));
  }
  select("size").value = usual;
  write("m-engine", info.engine);
  showLooks(await get("/api/looks"), choosePrompt);
  const found = await sources.cameras();
  for (const { id, name } of found) select("device").add(new Option(name, id));
  box("device-field").hidden = found.length < 2;
}

connectViews();
connectLive();
connectSettings();
connectButtons();
connectKeys();
input("prompt").value = prompt;
input("prompt-b").value = address.prompt_b ?? "";
input("blend").value = String(100 * Number(address.blend ?? 0));
input("strength").value = String(100 * Number(address.strength ?? 1));
input("seed").value = address.seed ?? "0";
if (address.transport) select("transport").value = address.transport;
transports.wish = select("transport").value || "auto";
write("strength-value", `${input("strength").value} %`);
write("blend-value", `${input("blend").value} %`);
showPast();
showFavourites(choosePrompt);
setInterval(second, 1000);
load().catch((error) => banner(`the server does not answer (${error.message}); is everframe live running, with this token?`));
