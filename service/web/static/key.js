// The API key, where the service needs one: asked for when a request is answered with 401, kept for this tab alone.

import { node } from "./dom.js";
import { language, text } from "./messages.js";

const NAME = "echocast-key";
const NOT_SENT = /[^\x21-\x7e]/; // characters that no header has, and no key
const listeners = new Set();
let asking = null;

export const key = () => sessionStorage.getItem(NAME);

// Calls `listener()` when there is another key.
export const onKey = (listener) => listeners.add(listener);

export function forgetKey() {
  sessionStorage.removeItem(NAME);
  location.reload();
}

// Resolves when the user has entered a key; all requests that wait share one form, in the page's `#key-room`.
export function askForKey(problem) {
  asking ??= new Promise((resolve) => {
    const card = makeCard(key() ? problem.detail : "", (entered) => {
      sessionStorage.setItem(NAME, entered);
      card.remove();
      asking = null;
      listeners.forEach((listener) => listener());
      resolve();
    });
    document.getElementById("key-room").append(card);
    card.querySelector("input").focus();
  });
  return asking;
}

function makeCard(problem, onEntered) {
  const input = node("input", { id: "key", type: "password", autocomplete: "off", spellcheck: false, required: true, placeholder: "echocast_…" });
  const why = node("p", { id: "key-problem", lang: "en", textContent: problem });
  why.setAttribute("role", "alert");
  const form = node("form", { className: "keyform" },
    node("h2", { id: "key-title", textContent: text("key.title") }), why,
    node("p", { className: "field" }, node("label", { htmlFor: "key", textContent: text("key.label") }), input),
    node("p", { className: "actions" }, node("button", { className: "button primary", textContent: text("key.use") })),
    node("p", { className: "hint", textContent: text("key.hint") }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const entered = input.value.trim();
    if (NOT_SENT.test(entered)) Object.assign(why, { lang: language, textContent: text("key.characters") });
    else if (entered) onEntered(entered);
  });
  const card = node("section", { className: "card", id: "key-card" }, form);
  card.setAttribute("aria-labelledby", "key-title");
  return card;
}
