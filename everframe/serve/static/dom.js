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
}

/** A message over the picture; empty hides it. @param {string} text */
export function banner(text) {
  write("banner", text);
  box("banner").hidden = !text;
}
