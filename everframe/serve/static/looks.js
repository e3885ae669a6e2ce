// @ts-check
/** The gallery of looks, favourites, and the prompts of the past. */

import { box, input } from "./dom.js";
import { favourites, past } from "./memory.js";

/** @typedef {{name: string, prompt: string, hidden: boolean, thumbnail_url: string | null}} Look */

/** @param {Look[]} looks @param {(prompt: string) => void} choose */
export function showLooks(looks, choose) {
  const grid = box("looks");
  grid.replaceChildren(
    ...looks.map((look) => {
      const choice = document.createElement("button");
      choice.type = "button";
      choice.title = look.prompt;
      choice.dataset.words = `${look.name} ${look.prompt}`.toLowerCase();
      const image = document.createElement("img");
      image.alt = "";
      image.loading = "lazy";
      if (look.thumbnail_url) image.src = look.thumbnail_url;
      const name = document.createElement("span");
      name.textContent = look.name.replace(/^world_/, "").replaceAll("_", " ");
      choice.append(image, name);
      choice.addEventListener("click", () => choose(look.prompt));
      return choice;
    }),
  );
  input("find").addEventListener("input", () => {
    const wanted = input("find").value.trim().toLowerCase();
    for (const choice of grid.children) {
      const item = /** @type {HTMLElement} */ (choice);
      item.hidden = !item.dataset.words?.includes(wanted);
    }
    box("no-look").hidden = grid.querySelector("button:not([hidden])") !== null;
  });
}

/** @param {(prompt: string) => void} choose */
export function showFavourites(choose) {
  box("favourites").replaceChildren(
    ...favourites().map((prompt) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.textContent = prompt;
      chip.addEventListener("click", () => choose(prompt));
      return chip;
    }),
  );
}

export function showPast() {
  box("history").replaceChildren(
    ...past().map((prompt) => Object.assign(document.createElement("option"), { value: prompt })),
  );
}
