// What can be chosen: feed or model, time, threshold, lead, from when leads count, and with what is compared.

import { number, text } from "../messages.js";
import { WINDOWS } from "./choice.js";
import { namesOf, rate } from "./words.js";

const byId = (id) => document.getElementById(id);

export function drawSubjects(feeds, models, choice, onChange) {
  const option = (value, words, chosen) => Object.assign(document.createElement("option"), { value, textContent: words, selected: chosen });
  const group = (label, options) => {
    const element = Object.assign(document.createElement("optgroup"), { label });
    element.append(...options);
    return element;
  };
  const select = byId("subject");
  const groups = [];
  if (feeds.length) groups.push(group(text("skill.feeds"), feeds.map(({ name }) => option(`feed=${name}`, name, choice.feed === name))));
  if (models.length) groups.push(group(text("skill.models"), models.map((model) => option(`model=${model}`, model.replace("@", " "), choice.model === model))));
  select.replaceChildren(...groups);
  select.onchange = () => {
    const [kind, ...name] = select.value.split("=");
    onChange({ feed: null, model: null, with: [], [kind]: name.join("=") });
  };
}

export function drawWindows(choice, onChange) {
  const words = (hours) => (hours <= 48 ? text("skill.hours", { count: hours }) : text("skill.days", { count: hours / 24 }));
  radios(byId("windows"), "window", WINDOWS.map((hours) => [hours, words(hours)]), choice.window, (window) => onChange({ window: Number(window) }));
}

// Thresholds and leads of the scores that are shown.
export function drawOfScores(skill, shown, onChange) {
  const thresholds = skill.models[0].events.map(({ threshold_mm_h: threshold }) => threshold);
  radios(byId("thresholds"), "threshold", thresholds.map((value) => [value, rate(value)]), thresholds[shown.row], (value) => onChange({ threshold: Number(value) }));
  const leads = byId("lead");
  choices(leads, skill.lead_minutes.map((minutes) => [minutes, text("skill.minutes", { minutes: number(minutes) })]), skill.lead_minutes[shown.column]);
  leads.onchange = () => onChange({ lead: Number(leads.value) });
}

export function drawOrigins(choice, onChange) {
  const select = byId("from");
  choices(select, ["reference", "publication"].map((value) => [value, text(`skill.from.${value}`)]), choice.from);
  select.onchange = () => onChange({ from: select.value });
}

// Versions that can be compared; the first one is that of the feed.
export function drawCompared(skill, onChange) {
  const scored = Object.keys(skill.scored_models);
  const compared = skill.models.map(({ model }) => model);
  const names = namesOf(scored);
  const [own] = compared;
  const others = scored.filter((model) => model !== own);
  const box = byId("compared");
  box.closest("fieldset").hidden = !others.length;
  buttons(box, "checkbox", "with", others.map((model) => [model, names[model]]), compared, () =>
    onChange({ with: [own, ...[...box.querySelectorAll("input:checked")].map(({ value }) => value)] }));
}

export const radios = (box, name, options, chosen, onChange) =>
  buttons(box, "radio", name, options, [String(chosen)], ({ value }) => onChange(value));

// Fills a select with `options`: [value, words]. Those that are there stay, so that an open one stays open.
function choices(select, options, chosen) {
  const same = select.options.length === options.length && options.every(([value], index) => select.options[index].value === String(value));
  if (!same) select.replaceChildren(...options.map(([value, words]) => new Option(words, value)));
  select.value = String(chosen);
}

// Draws inputs as buttons, `options`: [value, words]. Those that are there stay, so that they keep the focus.
function buttons(box, type, name, options, chosen, onChange) {
  const present = [...box.querySelectorAll("input")];
  const same = present.length === options.length && options.every(([value], index) => present[index].value === String(value));
  if (!same) box.replaceChildren(...options.map(([value, words]) => button(type, name, value, words)));
  for (const input of box.querySelectorAll("input")) {
    input.checked = chosen.includes(input.value);
    input.onchange = () => onChange(input);
  }
}

function button(type, name, value, words) {
  const label = document.createElement("label");
  const span = document.createElement("span");
  span.textContent = words;
  label.append(Object.assign(document.createElement("input"), { type, name, value }), span);
  return label;
}
