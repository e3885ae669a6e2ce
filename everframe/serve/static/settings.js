// @ts-check
/** The settings panel: what it says, and that a change of it is applied. */

import { input, select, write } from "./dom.js";

const FADE_S = 0.05;

/** Seconds that a new prompt takes to come in. */
export const fadeSeconds = () => Number(input("fade").value) * FADE_S;

/** What the panel says, as a session takes it. */
export function panel() {
  return {
    prompt_b: input("prompt-b").value.trim(),
    blend: Number(input("blend").value) / 100,
    strength: Number(input("strength").value) / 100,
    seed: Math.min(999999, Math.max(0, Math.floor(Number(input("seed").value) || 0))),
    steps: Number(select("steps").value),
    limit_flicker: input("flicker").checked,
  };
}

/** @param {string} id */
const percent = (id) => `${input(id).value} %`;

/** Show what the address of the page says. @param {Record<string, string>} address */
export function restore(address) {
  input("prompt-b").value = address.prompt_b ?? "";
  input("blend").value = String(100 * Number(address.blend ?? 0));
  input("strength").value = String(100 * Number(address.strength ?? 1));
  input("seed").value = address.seed ?? "0";
  write("strength-value", percent("strength"));
  write("blend-value", percent("blend"));
}

/** @param {(change: Record<string, any>, said: string) => void} apply called with each change */
export function connectPanel(apply) {
  /** @param {string} id @param {() => Record<string, any>} change */
  const connect = (id, change) => {
    input(id).addEventListener("change", () => apply(change(), "changed"));
  };
  /** @param {string} id @param {() => Record<string, any>} change */
  const connectSlider = (id, change) => {
    input(id).addEventListener("input", () => write(`${id}-value`, percent(id)));
    connect(id, change);
  };
  const blended = () => ({ blend: panel().blend, prompt_b: panel().prompt_b });
  connectSlider("strength", () => ({ strength: panel().strength }));
  connectSlider("blend", blended);
  input("fade").addEventListener("input", () => {
    write("fade-value", fadeSeconds() ? `${fadeSeconds().toFixed(1)} s` : "at once");
  });
  connect("prompt-b", blended);
  connect("seed", () => ({ seed: panel().seed }));
  select("steps").addEventListener("change", () => apply({ steps: panel().steps }, "changed"));
  connect("flicker", () => ({ limit_flicker: panel().limit_flicker }));
}
