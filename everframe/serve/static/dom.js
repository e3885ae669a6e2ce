// @ts-check
/** The elements of the page, by id. */

/** @template {HTMLElement} T @param {string} id @param {new () => T} kind @returns {T} */
function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}
/** @param {string} id */
export const button = (id) => element(id, HTMLButtonElement);
/** @param {string} id */
export const input = (id) => element(id, HTMLInputElement);
/** @param {string} id */
export const select = (id) => element(id, HTMLSelectElement);
/** @param {string} id */
export const canvas = (id) => element(id, HTMLCanvasElement);
/** @param {string} id */
export const box = (id) => element(id, HTMLElement);
export const video = element("camera", HTMLVideoElement);

/** @param {string} id @param {string} text */
export function write(id, text) {
  const target = box(id);
  if (target.textContent !== text) target.textContent = text;
}

/** @param {string} id @param {boolean} on */
export function press(id, on) {
  button(id).setAttribute("aria-pressed", String(on));
  if (id === "favourite") write(id, on ? "\u2605" : "\u2606");
}

/** A message over the picture; empty hides it. @param {string} text */
export function banner(text) {
  write("banner", text);
  box("banner").hidden = !text;
}

const STATES = {
  idle: "not connected",
  connecting: "connecting",
  waiting: "waiting for a free place",
  live: "live",
  reconnecting: "connection lost, trying again",
  ended: "stopped",
};

/** @param {keyof typeof STATES} state of the connection */
export function showState(state) {
  box("status").dataset.state = state;
  box("status").querySelector("b")?.replaceChildren(STATES[state]);
}

/** Copy a field's text. @param {string} field @param {string} pressed the button, which says so */
export async function copy(field, pressed) {
  input(field).select();
  if (navigator.clipboard) await navigator.clipboard.writeText(input(field).value);
  else document.execCommand("copy"); // over a network without https
  write(pressed, "Copied");
  setTimeout(() => write(pressed, "Copy"), 2000);
}
