// @ts-check
/** The page of `everframe live`: connects what is on it to a session. */

import { Capture } from "./capture.js";
import { banner, box, button, canvas, copy, input, press, select, showState, video, write } from "./dom.js";
import { LiveClient } from "./everframe.js";
import { connectKeys } from "./keys.js";
import { showFavourites, showLooks, showPast } from "./looks.js";
import { favourites, fromAddress, remember, toAddress, toggleFavourite, viewName } from "./memory.js";
import { Meter } from "./meter.js";
import { openChosen, showCameras } from "./picker.js";
import { Recorder, Sound, snapshot } from "./recorder.js";
import { Display } from "./screenout.js";
import { connectPanel, fadeSeconds, panel, restore } from "./settings.js";
import * as sources from "./sources.js";
import { Transports } from "./transports.js";
import { connectViews, setAspect, setView, VIEWS } from "./views.js";

const FIRST_PROMPT = "pencil sketch";

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
/** A setting was changed while the connection was broken. */
let changed = false;
/** Counts attempts to open a source. */
let round = 0;
/** A session is being opened. */
let joining = false;
/** Why this page may not use the server. */
let refused = "";
/** The warning about the size of what the browser sends is shown. */
let warned = false;

function settings() {
  return { prompt, ...panel(), freeze: frozen, bypass: panic };
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
  if (live.state !== "live") {
    live.keep(change);
    changed = source !== null;
    return;
  }
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
  if (live.state === "live") banner("");
  apply({ prompt, transition_s: fadeSeconds() }, `"${wanted}" holds`);
}

async function begin() {
  banner(refused);
  if (refused) return;
  if (select("source").value === "file" && !input("file").files?.length) {
    input("file").click();
    return;
  }
  round += 1;
  const mine = round;
  button("start").disabled = true;
  capture.stop();
  source?.stop();
  source = null;
  try {
    const opened = await openChosen();
    if (mine !== round) return opened.stop(); // another one was chosen meanwhile
    source = opened;
  } catch (error) {
    if (mine !== round) return;
    stop();
    banner(sources.trouble(/** @type {Error} */ (error), select("source").value));
  }
  button("start").disabled = false;
  if (source) await play(source);
}

/** @param {sources.Source} opened */
async function play(opened) {
  if (box("welcome").contains(document.activeElement)) button("start").focus();
  box("welcome").hidden = true;
  write("start", "Stop");
  setAspect((video.videoWidth || 4) / (video.videoHeight || 3));
  const mirrored = input("mirror").checked;
  video.classList.toggle("mirrored", mirrored);
  capture.mirror = mirrored;
  const [width, height] = select("size").value.split("x").map(Number);
  capture.size = { width, height };
  capture.start(opened.stream);
  listen();
  showCameras(opened);
  opened.stream?.getVideoTracks()[0].addEventListener("ended", () => {
    if (source !== opened) return;
    stop();
    banner(`${opened.name}: it was unplugged or taken away; press Start to go on`);
  });
  await join(width, height);
  if (opened.note && source === opened) banner(opened.note);
}

/** A session, if there is none. @param {number} width @param {number} height */
async function join(width, height) {
  if (live.state === "idle" || live.state === "ended") {
    joining = true;
    try {
      const codec = await transports.codec(width, height);
      await live.start({ ...settings(), size: [width, height], codec, view: viewName() });
    } catch (error) {
      const { message } = /** @type {Error} */ (error);
      if (live.state === "ended" && source) {
        stop();
        banner(message);
      }
    }
    joining = false;
  }
  enable();
}

/** What needs a picture can be pressed when there is one. */
function enable() {
  for (const id of ["freeze", "panic", "reset", "snapshot", "record"]) button(id).disabled = !source;
}

async function changeTransport() {
  transports.wish = select("transport").value;
  share();
  banner("");
  const { width, height } = capture.size;
  if (source && live.codec !== (await transports.codec(width, height))) {
    live.end(); // a session is coded one way
    await begin();
  } else transports.begin();
}

function stop() {
  if (recorder.running) toggleRecord();
  capture.stop();
  source?.stop();
  source = null;
  sound?.stop();
  sound = null;
  if (live.state !== "idle") live.end();
  banner("");
  write("applied", "");
  write("start", "Start");
  enable();
}

function listen() {
  sound?.stop();
  sound = null;
  if (select("sound").value === "off" || !source?.sound) return;
  sound = new Sound(select("sound").value === "heard");
  sound.play(source.sound);
}

async function toggleFreeze() {
  if (!source) return;
  frozen = !frozen;
  press("freeze", frozen);
  await apply({ freeze: frozen }, frozen ? "frozen" : "moving");
}

async function togglePanic() {
  if (!source) return;
  panic = !panic;
  press("panic", panic);
  await apply({ bypass: panic }, panic ? "the camera, untouched," : "restyled");
}

async function forget() {
  if (live.state !== "live") return;
  write("applied", `begun anew from frame ${await live.reset()}`);
}

function toggleRecord() {
  if (!source) return;
  if (recorder.running) recorder.stop();
  else recorder.start(sound?.recorded.stream.getAudioTracks() ?? []);
  press("record", recorder.running);
  write("record", recorder.running ? "Stop 0:00" : "Record");
}

function second() {
  const age = meter.update(display, stats, live.skipped);
  if (live.state === "live" && age.p50) live.report(age);
  sound?.late(age.p50);
  write("m-transport", live.state === "live" ? transports.current.label : "-");
  if (recorder.running) write("record", `Stop ${recorder.time}`);
  const [width] = stats.received_size ?? [0];
  const small = live.state === "live" && width > 0 && width < capture.size.width;
  if (small !== warned) {
    banner(small ? `the browser sends ${stats.received_size.join("x")} only: the picture is less sharp than it could be` : "");
  }
  warned = small;
}

function connectLive() {
  live.addEventListener("picture", (event) => display.show(/** @type {CustomEvent} */ (event).detail));
  live.addEventListener("stats", (event) => {
    stats = /** @type {CustomEvent} */ (event).detail;
  });
  live.addEventListener("created", (event) => {
    const created = /** @type {CustomEvent} */ (event).detail;
    const tail = token ? `&token=${encodeURIComponent(token)}` : "";
    input("obs").value = `${location.origin}/view#${created.view_url.split("#")[1]}${tail}`;
    banner("");
    if (created.resumed && changed) apply(settings(), "changed");
    changed = false;
  });
  live.addEventListener("queue", (event) => {
    banner(`all places are taken; you are number ${/** @type {CustomEvent} */ (event).detail.position} in the queue`);
  });
  live.addEventListener("warning", (event) => banner(/** @type {CustomEvent} */ (event).detail.message));
  live.addEventListener("problem", (event) => banner(/** @type {CustomEvent} */ (event).detail.message));
  live.addEventListener("state", () => {
    showState(live.state);
    if (live.state === "ended" && source && !joining) stop();
    if (live.state === "reconnecting") banner("connection lost; it is tried again, nothing needs to be done");
  });
}

function connectSettings() {
  connectPanel(apply);
  input("mirror").addEventListener("change", () => {
    capture.mirror = input("mirror").checked;
    video.classList.toggle("mirrored", capture.mirror);
  });
  select("sound").addEventListener("change", () => source && begin());
  select("transport").addEventListener("change", changeTransport);
  select("size").addEventListener("change", () => {
    if (!source) return;
    live.end();
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
  button("copy").addEventListener("click", () => copy("obs", "copy"));
}

async function load() {
  const headers = token ? { authorization: `Bearer ${token}` } : undefined;
  /** @param {string} path */
  const get = async (path) => {
    const answer = await fetch(path, { headers });
    if (answer.ok) return answer.json();
    refused = (await answer.text()).trim();
    throw new Error(refused);
  };
  const info = await get("/api/info");
  transports.known = info.transports;
  const usual = info.default_size.join("x");
  for (const [width, height] of info.sizes) {
    select("size").add(new Option(`${width} x ${height}`, `${width}x${height}`));
  }
  select("size").value = usual;
  write("m-engine", info.engine);
  showLooks(await get("/api/looks"), choosePrompt);
  await showCameras(source);
}

connectViews();
connectLive();
connectSettings();
connectButtons();
/** @type {Record<string, () => unknown>} */
const keys = {
  escape: togglePanic, p: togglePanic, f: toggleFreeze, r: forget,
  s: () => source && snapshot(canvas("output")),
};
VIEWS.forEach((view, i) => {
  keys[String(i + 1)] = () => setView(view);
});
connectKeys(keys);
enable();
navigator.mediaDevices?.addEventListener("devicechange", () => showCameras(source));
addEventListener("pagehide", () => live.end()); // its place is free at once
input("prompt").value = prompt;
restore(address);
if (address.transport) select("transport").value = address.transport;
transports.wish = select("transport").value || "auto";
input("obs").value = `${location.origin}/view#session=${viewName()}${token ? `&token=${encodeURIComponent(token)}` : ""}`;
press("favourite", favourites().includes(prompt));
showPast();
showFavourites(choosePrompt);
setInterval(second, 1000);
load().catch((error) => banner(refused || `the server does not answer (${error.message}); is everframe live running?`));
