// @ts-check
/** How camera and result share the stage. */

import { box } from "./dom.js";

export const VIEWS = ["output", "side", "wipe", "pip"];
const STEP = 2;

/** @param {string} view */
export function setView(view) {
  box("stage").dataset.view = view;
  for (const choice of document.querySelectorAll("#bar [role=radio]")) {
    const chosen = /** @type {HTMLElement} */ (choice).dataset.view === view;
    choice.setAttribute("aria-checked", String(chosen));
    /** @type {HTMLElement} */ (choice).tabIndex = chosen ? 0 : -1;
  }
}

/** The shape of the camera; both pictures are shown in it. @param {number} aspect width / height */
export function setAspect(aspect) {
  box("stage").style.setProperty("--aspect", aspect.toFixed(4));
  measure();
}

/** How much of the stage's width the pictures take, for the wipe's bar. */
function measure() {
  const stage = box("stage");
  const shown = box("output").getBoundingClientRect().width;
  stage.style.setProperty("--span", (shown / Math.max(1, stage.clientWidth)).toFixed(4));
}

/** @param {number} percent */
function setWipe(percent) {
  const at = Math.min(100, Math.max(0, percent));
  box("stage").style.setProperty("--wipe", `${at}%`);
  box("wipe-bar").setAttribute("aria-valuenow", at.toFixed(0));
}

export function connectViews() {
  const radios = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#bar [role=radio]"));
  radios.forEach((choice, i) => {
    choice.addEventListener("click", () => setView(choice.dataset.view ?? "output"));
    choice.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const next = radios[(i + by + radios.length) % radios.length];
      next.focus();
      next.click();
    });
  });
  const bar = box("wipe-bar");
  /** @param {PointerEvent} event */
  const drag = (event) => {
    const picture = box("output").getBoundingClientRect();
    setWipe((100 * (event.clientX - picture.left)) / picture.width);
  };
  bar.addEventListener("pointerdown", (event) => bar.setPointerCapture(event.pointerId));
  bar.addEventListener("pointermove", (event) => {
    if (bar.hasPointerCapture(event.pointerId)) drag(event);
  });
  bar.addEventListener("keydown", (event) => {
    const by = { ArrowRight: STEP, ArrowLeft: -STEP }[event.key];
    if (!by) return;
    event.preventDefault();
    setWipe(Number(bar.getAttribute("aria-valuenow")) + by);
  });
  new ResizeObserver(measure).observe(box("stage"));
  setView("output");
}
