// @ts-check
/** The choice of a source, as it stands in the header of the page. */

import { box, input, select, video } from "./dom.js";
import * as sources from "./sources.js";

/** Open what is chosen. @returns {Promise<sources.Source>} */
export async function openChosen() {
  const sound = select("sound").value !== "off";
  switch (select("source").value) {
    case "screen":
      return sources.screen(video, sound);
    case "pattern":
      return sources.pattern(video);
    case "file": {
      const file = input("file").files?.[0];
      if (!file) throw new Error("choose a video file first");
      return sources.file(video, file);
    }
    default:
      return sources.camera(video, select("device").value, sound);
  }
}

/** The list of cameras; browsers name them after the first permission only.
 * @param {sources.Source | null} shown */
export async function showCameras(shown) {
  const found = await sources.cameras();
  const chosen = shown?.stream?.getVideoTracks()[0].getSettings().deviceId ?? select("device").value;
  select("device").replaceChildren(...found.map(({ id, name }) => new Option(name, id)));
  if (found.some(({ id }) => id === chosen)) select("device").value = chosen;
  box("device-field").hidden = select("source").value !== "camera" || found.length < 2;
}
