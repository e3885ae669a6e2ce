// @ts-check
/** What this browser remembers, and the state in the page's address. */

const HISTORY = 30;

/** @param {string} key @returns {string[]} */
function list(key) {
  try {
    const found = JSON.parse(localStorage.getItem(`everframe.${key}`) ?? "[]");
    return Array.isArray(found) ? found.filter((x) => typeof x === "string") : [];
  } catch {
    return [];
  }
}

/** @param {string} key @param {string[]} values */
function keep(key, values) {
  try {
    localStorage.setItem(`everframe.${key}`, JSON.stringify(values));
  } catch {
    // private windows may refuse: nothing is remembered then
  }
}

export const past = () => list("history");
export const favourites = () => list("favourites");

/** @param {string} prompt */
export function remember(prompt) {
  keep("history", [prompt, ...past().filter((p) => p !== prompt)].slice(0, HISTORY));
}

/** Add a favourite or take it away. @param {string} prompt @returns {boolean} whether it is one */
export function toggleFavourite(prompt) {
  const now = favourites();
  const is = now.includes(prompt);
  keep("favourites", is ? now.filter((p) => p !== prompt) : [...now, prompt]);
  return !is;
}

/** By this name OBS may watch this browser's session, from one session to the next: a secret. */
export function viewName() {
  const key = "everframe.view";
  const fresh = Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(16).padStart(2, "0")).join("");
  try {
    const known = localStorage.getItem(key);
    if (known) return known;
    localStorage.setItem(key, fresh);
  } catch {
    // private windows may refuse: the address for OBS is another one each time then
  }
  return fresh;
}

/** Settings in the fragment of the address. */
export function fromAddress() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

/** @param {Record<string, string>} state */
export function toAddress(state) {
  const kept = Object.entries(state).filter(([, value]) => value !== "");
  history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
}
