// The card of a place: the sentence first, then how it goes over time, the numbers, and the own places.
// On a phone it is a sheet at the bottom, which is pulled up for more.

import { make, refill } from "../dom.js";
import { icon } from "../icons.js";
import { clock, text } from "../messages.js";
import { facts } from "./facts.js";
import { key, meteogram } from "./meteogram.js";
import { coordinates } from "./search.js";
import { attachSheet } from "./sheet.js";
import { table } from "./table.js";

// Where a layer has no legend yet.
const PLAIN = {
  classes: [{ lower: 0.1, colour: "#2f99e8" }],
  dry: { below: 0.1, colour: "transparent" },
  no_data: { colours: ["#8a939b", "#c5cbd0"] },
};

const capital = (words) => words.charAt(0).toLocaleUpperCase() + words.slice(1);

export function placeCard(element, { onStar, onMove, onChoose, onClose, onPick }) {
  const button = (name, label, onclick) => make("button", { type: "button", class: `button icon ${name}`, "aria-label": label, title: label, onclick }, icon(name));
  const heading = make("h2", { id: "place-title", tabindex: "-1" });
  const at = make("p", { id: "place-at", class: "hint" });
  const star = button("star", text("place.keep"), onStar);
  const close = button("close", text("place.close"), onClose);
  const sentence = make("p", { id: "place-sentence", class: "sentence", "aria-live": "polite" });
  const about = make("p", { id: "place-about", class: "hint" });
  const chart = make("div", { id: "place-chart" });
  const numbers = make("dl", { id: "place-facts", class: "place-facts" });
  const values = make("details", { id: "place-values" }, make("summary", {}, text("place.values")), make("div", { class: "scroll", tabindex: "0" }));
  const ownList = make("details", { id: "place-own" }, make("summary", {}, text("place.own")), make("ol", {}));
  const more = make("div", { class: "place-more", id: "place-more" }, chart, numbers, values, ownList);
  const head = make("div", { class: "place-head" }, make("div", { class: "names" }, heading, at), star, close);
  element.replaceChildren(head, sentence, about, more);
  element.setAttribute("aria-labelledby", "place-title");
  const sheet = attachSheet(element, head, more);
  let drawn = null;

  function empty() {
    drawn = null;
    chart.replaceChildren();
    numbers.replaceChildren();
    values.hidden = true;
  }

  function say(words, { aloud = true, language = "", coverage = "ok" } = {}) {
    element.dataset.coverage = coverage;
    sentence.setAttribute("aria-live", aloud ? "polite" : "off");
    if (language) sentence.lang = language;
    else sentence.removeAttribute("lang");
    const unbroken = words.replace(/(\d) (%|min\b|Uhr\b)/g, "$1\u00a0$2");
    if (sentence.textContent !== unbroken) sentence.textContent = unbroken;
    element.removeAttribute("aria-busy");
  }

  return {
    title(words) {
      heading.textContent = words;
      at.hidden = at.textContent === words;
    },

    // No place is chosen yet: says how to choose one.
    clear(search) {
      empty();
      element.dataset.empty = "true";
      heading.textContent = text("place.question");
      if (document.activeElement === close) heading.focus(); // the button goes
      at.hidden = star.hidden = close.hidden = true;
      about.textContent = "";
      say(text("place.how"), { aloud: false });
      sentence.onclick = search;
      sheet.pull(false);
    },

    wait(position) {
      empty();
      delete element.dataset.empty;
      sentence.onclick = null;
      at.textContent = position;
      star.hidden = close.hidden = false;
      about.textContent = "";
      say(text("place.reading"), { aloud: false });
      element.setAttribute("aria-busy", "true");
    },

    show(answer, source, { aloud }) {
      const known = answer.coverage !== "no_coverage";
      const legends = source.layers.map(({ id, legend }) => [id, legend]);
      const legendOf = (start) => legends.find(([id, legend]) => id.startsWith(start) && legend)?.[1];
      const words = known ? capital(answer.sentence) : text("place.noCoverage");
      say(words, { aloud, language: known ? answer.language : "", coverage: answer.coverage });
      about.textContent = aboutOf(answer, source);
      numbers.replaceChildren(...(known ? facts(answer, source).map(row) : []));
      const hasTimes = known && answer.past.length + answer.forecast.length > 0;
      drawn = hasTimes ? meteogram(answer, { legend: legendOf("rain") ?? PLAIN, probabilityLegend: legendOf("probability"), scored: source.scored_lead_minutes, onPick }) : null;
      chart.replaceChildren(...(drawn ? [drawn.node, key(answer)] : []));
      values.hidden = !drawn;
      if (drawn) values.lastElementChild.replaceChildren(table(answer));
    },

    fail(problem) {
      empty();
      about.textContent = "";
      const words = [problem.title ?? text("problem.unreachable"), problem.detail].filter(Boolean).join(": ");
      say(words, { coverage: "no_data", language: problem.type ? "en" : "" }); // those of the service have a type
    },

    follow(frame) {
      if (drawn && frame) drawn.follow(Date.parse(frame.valid_time));
    },

    // The own places in their order; `kept`: whether the place that is shown is one of them.
    own(places, kept) {
      star.setAttribute("aria-pressed", String(Boolean(kept)));
      star.setAttribute("aria-label", text(kept ? "place.remove" : "place.keep"));
      star.title = text(kept ? "place.remove" : "place.keep");
      ownList.hidden = !places.length;
      refill(ownList.lastElementChild, ...places.map((place, index) => make("li", {},
        make("button", { type: "button", class: "name", "data-key": coordinates(place), onclick: () => onChoose(place) }, place.name ?? coordinates(place)),
        move(place, "up", index > 0, () => onMove(index, -1)),
        move(place, "down", index < places.length - 1, () => onMove(index, 1)))));
    },
  };

  function move(place, direction, possible, onclick) {
    const label = text(`place.${direction}`, { name: place.name ?? coordinates(place) });
    return make("button", { type: "button", class: `button icon ${direction}`, "data-key": `${coordinates(place)} ${direction}`, "aria-label": label, title: label, disabled: !possible, onclick }, icon(direction));
  }
}

// How old what the answer counts from is. Of an upload the minutes count from its newest frame, whenever that was.
function aboutOf({ age_minutes: age, reference_time: reference }, source) {
  if (!reference) return "";
  const words = source.kind === "feed"
    ? text("place.frames", { clock: clock(reference), utc: clock(reference, { timeZone: "UTC" }), minutes: Math.round(age) })
    : text("place.uploaded", { clock: clock(reference), utc: clock(reference, { timeZone: "UTC" }) });
  const late = source.kind === "feed" && ["delayed", "unavailable"].includes(source.status.status);
  return late ? `${words} ${text("place.late")}` : words;
}

const row = ([what, amount]) => make("div", {}, make("dt", {}, what), make("dd", {}, amount));
