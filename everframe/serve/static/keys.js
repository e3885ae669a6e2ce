// @ts-check
/** Keys of the page. */

/** @param {Record<string, () => unknown>} keys what each does, by its name in lower case */
export function connectKeys(keys) {
  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const typing = target.matches("input:not([type=range], [type=checkbox]), select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Escape")) return;
    if (document.fullscreenElement && event.key === "Escape") return; // leaves full screen
    const act = keys[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
