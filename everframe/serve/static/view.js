// @ts-check
/** The bare picture of a session, for OBS. `#session=ID&token=T`; comes back by itself. */

import { LiveClient } from "./everframe.js";
import { Display } from "./screenout.js";

const RETRY_MS = 1000;
const query = new URLSearchParams(location.hash.slice(1));
const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("output"));
const display = new Display(canvas);
const live = new LiveClient({ token: query.get("token") ?? "" });

let timer = 0;

function attach() {
  live.attach(query.get("session") ?? "").catch(() => {});
}

function again() {
  clearTimeout(timer);
  timer = setTimeout(attach, RETRY_MS);
}

live.addEventListener("picture", (event) => {
  display.show(/** @type {CustomEvent} */ (event).detail);
  canvas.style.visibility = "visible";
});
live.addEventListener("state", () => live.state === "ended" && again());
live.addEventListener("problem", again);
attach();
