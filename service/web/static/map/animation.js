// The frames of a nowcast whose grid lies nowhere on the earth, as an animation: there is no map of it.

import { call } from "../api.js";
import { text } from "../messages.js";

export async function showAnimation(element, nowcast) {
  const response = await call(`v1/nowcasts/${encodeURIComponent(nowcast)}/result?format=webp`);
  const url = URL.createObjectURL(await response.blob());
  element.replaceChildren(Object.assign(document.createElement("img"), { src: url, alt: text("live.animation") }));
}
