// What scores say, in sentences of their counts.

import { clock, date, number, text } from "../messages.js";

const BASELINES = { "extrapolation@1": "skill.extrapolation", "persistence@1": "skill.persistence" };

export const rate = (threshold) => number(threshold, { maximumFractionDigits: 2 });
export const ofHundred = (share) => number(100 * share, { maximumFractionDigits: 0 });
const points = (share) => number(Math.abs(100 * share), { maximumFractionDigits: 1 });
const signed = (share) => number(100 * share, { maximumFractionDigits: 1, signDisplay: "exceptZero" });

// Short names of versions: without the version where no other one of the same name is compared.
export function namesOf(models) {
  const bare = (model) => model.split("@")[0];
  const often = (model) => models.filter((other) => bare(other) === bare(model)).length > 1;
  return Object.fromEntries(models.map((model) => {
    if (model in BASELINES) return [model, text(BASELINES[model])];
    return [model, often(model) ? model.replace("@", " ") : bare(model)];
  }));
}

export const period = (hours) =>
  (hours <= 48 ? text("skill.period.hours", { count: hours }) : text("skill.period.days", { count: hours / 24 }));

// A score at the chosen threshold (row) and lead (column): {value, low, high}, null where there is none.
export function scoreAt(model, score, row, column) {
  const of = score === "fss" ? model.events[row].fss.at(-1) : model.events[row][score];
  const at = (part) => of[part][column];
  return at("value") === null ? null : { value: at("value"), low: at("low"), high: at("high") };
}

// The sentence that stands first, and those that explain it.
export function sentences(skill, { row, column, window }) {
  const names = namesOf(skill.models.map(({ model }) => model));
  const [own, ...others] = skill.models;
  const threshold = rate(own.events[row].threshold_mm_h);
  const lead = number(skill.lead_minutes[column]);
  const csi = scoreAt(own, "csi", row, column);
  if (!csi) return { first: text("skill.noEvents", { period: period(window), threshold, lead }), more: [], conclusions: [] };
  const compared = others.flatMap(({ model, ...scores }) => {
    const found = scoreAt(scores, "csi", row, column);
    return found ? [`${names[model]} ${ofHundred(found.value)}`] : [];
  });
  const more = compared.length ? [text("skill.compared", { models: compared.join(", ") })] : [];
  const pod = scoreAt(own, "pod", row, column);
  const far = scoreAt(own, "far", row, column);
  if (pod) more.push(text("skill.detected", { value: ofHundred(pod.value) }));
  if (far) more.push(text("skill.stayedBelow", { value: ofHundred(far.value), threshold }));
  return {
    first: text("skill.sentence", { period: period(window), threshold, lead, value: ofHundred(csi.value), model: names[own.model] }),
    more,
    conclusions: others.map(({ model }) => conclusion(skill, names[model], model, row, column)).filter(Boolean),
  };
}

// Whether the first model differs from another one, by the paired interval: {kind, text}; null without a difference.
function conclusion(skill, name, model, row, column) {
  const threshold = skill.models[0].events[row].threshold_mm_h;
  const found = skill.differences.find((each) => each.other === model && each.threshold_mm_h === threshold);
  const [value, low, high] = ["value", "low", "high"].map((part) => found.csi[part][column]);
  if (value === null) return null;
  if (low === null || !skill.enough) return { kind: "open", text: text("skill.tooFewToTell", { name }) };
  if (low > 0) return { kind: "better", text: text("skill.better", { name, value: points(value), low: points(low), high: points(high) }) };
  if (high < 0) return { kind: "worse", text: text("skill.worse", { name, value: points(value), low: points(high), high: points(low) }) };
  return { kind: "open", text: text("skill.noDifference", { name, low: signed(low), high: signed(high) }) };
}

// What the scores rest on.
export function basis(skill, column) {
  const newest = skill.newest_frame;
  const unit = skill.block === "day" ? "skill.inDays" : "skill.inHours";
  return text("skill.basis", {
    forecasts: text("skill.forecasts", { count: skill.cases[column] }),
    blocks: text(unit, { count: skill.blocks }),
    local: `${date(newest, { day: "numeric", month: "short", year: "numeric" })}, ${clock(newest)}`,
    utc: clock(newest, { timeZone: "UTC" }),
  });
}

export const withInterval = (found) => {
  if (!found) return text("skill.none");
  if (found.low === null) return ofHundred(found.value);
  return text("skill.range", { value: ofHundred(found.value), low: ofHundred(found.low), high: ofHundred(found.high) });
};
