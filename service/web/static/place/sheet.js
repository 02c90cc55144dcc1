// On a phone the card is a sheet: the sentence is always there, a pull or a tap shows the rest over the map.

import { make } from "../dom.js";
import { text } from "../messages.js";

const PULL_PX = 30;

export function attachSheet(element, head, more) {
  const grip = make("button", { type: "button", class: "grip", "aria-expanded": "false", "aria-controls": more.id }, make("span", { class: "visually-hidden" }, text("place.more")));
  element.prepend(grip);
  let from = null;
  let pulled = false;

  function pull(up) {
    element.dataset.pulled = String(up);
    grip.setAttribute("aria-expanded", String(up));
    grip.firstElementChild.textContent = text(up ? "place.less" : "place.more");
    if (!up) element.scrollTop = 0;
  }

  const isUp = () => element.dataset.pulled === "true";
  grip.addEventListener("click", () => {
    if (!pulled) pull(!isUp());
    pulled = false;
  });
  for (const part of [grip, head]) {
    part.addEventListener("pointerdown", (event) => {
      from = event.clientY;
      pulled = false;
    });
    part.addEventListener("pointerup", (event) => {
      const by = from === null ? 0 : event.clientY - from;
      from = null;
      if (Math.abs(by) < PULL_PX) return;
      pulled = part === grip; // the click that follows is no second wish
      pull(by < 0);
    });
  }
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isUp()) pull(false);
  });
  pull(false);
  return { pull };
}
