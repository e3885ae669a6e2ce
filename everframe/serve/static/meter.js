// @ts-check
/** The meter below the picture: honest ages, from the camera's frame to this screen. */

import { canvas, write } from "./dom.js";

const MINUTE = 60;

export class Meter {
  constructor() {
    /** @type {number[]} */
    this._history = [];
    this._shown = 0;
    this._at = performance.now();
  }

  /** Once a second. @param {import("./screenout.js").Display} display
   * @param {Record<string, any>} stats @param {number} skipped @returns {{p50: number, p95: number}} */
  update(display, stats, skipped) {
    const now = performance.now();
    const age = display.age;
    const shown = ((display.shown - this._shown) * 1000) / Math.max(1, now - this._at);
    this._shown = display.shown;
    this._at = now;
    if (age.p50) this._history = [...this._history, age.p50].slice(-MINUTE);
    write("m-age", age.p50 ? age.p50.toFixed(0) : "-");
    write("m-age95", age.p50 ? `p95 ${age.p95.toFixed(0)}` : "");
    write("m-model", stats.model_ms?.p50 ? stats.model_ms.p50.toFixed(1) : "-");
    write("m-fps", `${(stats.fps_in ?? 0).toFixed(0)} / ${shown.toFixed(0)}`);
    write("m-drop", `${(stats.dropped ?? 0) + skipped} / ${stats.late ?? 0}`);
    write("m-size", (stats.received_size ?? []).join("x") || "-");
    if (stats.engine) write("m-engine", stats.engine);
    this._draw();
    return age;
  }

  _draw() {
    const target = canvas("spark");
    const c = /** @type {CanvasRenderingContext2D} */ (target.getContext("2d"));
    const sharp = devicePixelRatio;
    target.width = Math.max(1, target.clientWidth * sharp);
    target.height = Math.max(1, target.clientHeight * sharp);
    const top = Math.max(100, ...this._history);
        c.strokeStyle = getComputedStyle(target).color;
    c.lineWidth = sharp;
    c.globalAlpha = 0.4;
    c.beginPath();
    const line = target.height * (1 - 100 / top) + 1;
    c.moveTo(0, line);
    c.lineTo(target.width, line);
    c.stroke();
    c.globalAlpha = 1;
    c.lineWidth = 2 * sharp;
    c.lineJoin = "round";
    c.beginPath();
    this._history.forEach((ms, i) => {
      const x = (i * target.width) / (MINUTE - 1);
      c.lineTo(x, (target.height - 2) * (1 - ms / top) + 1);
    });
    c.stroke();
  }
}
