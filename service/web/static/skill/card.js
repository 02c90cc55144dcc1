// The measured skill of an installed model: one sentence for each data set, a table, and the protocol of the scores.

import * as api from "../api.js";
import { number, text } from "../messages.js";
import { paragraph, table } from "./tables.js";
import { ofHundred, rate } from "./words.js";

// What is known of the metrics, by the first word of their names: "csi", "Brier score", "CRPS (mm/h)".
const METRICS = {
  csi: { title: "CSI", digits: 3, lowerIsBetter: false },
  brier: { title: text("card.brier"), digits: 4, lowerIsBetter: true },
  crps: { title: "CRPS (mm/h)", digits: 3, lowerIsBetter: true },
};
const OTHER = { digits: 3, lowerIsBetter: false };

const BASELINES = {
  "persistence@1": "card.persistence",
  "extrapolation@1": "card.extrapolation",
  "pysteps@1": "card.pysteps",
  "pysteps-steps@1": "card.steps",
};

// On what the shipped package was measured, and what its scores do not show, as its card has it.
const SHIPPED = {
  "rain-ms-predrnn@2": { data: { bom: "card.brisbane", opera: "card.europe" }, caveat: "card.shippedCaveat" },
};

const kindOf = (score) => parsed(score)?.[1].toLowerCase().split(" ")[0] ?? "";
const metricOf = (score) => METRICS[kindOf(score)] ?? OTHER;
const figure = (score) => {
  const { digits } = metricOf(score);
  return number(score.value, { minimumFractionDigits: digits, maximumFractionDigits: digits });
};
const title = (model) => (model in BASELINES ? text(BASELINES[model]) : model.replace("@", " "));

// Scores are named "csi of NAME@VERSION, mean over leads"; others appear in the table under their own name.
const parsed = (score) => /^(.+?) of (\S+?)(?:, (.*))?$/.exec(score.metric);
const modelOf = (score) => parsed(score)?.[2] ?? score.metric;
const metricTitle = (score) => metricOf(score).title ?? parsed(score)?.[1].toUpperCase() ?? text("card.score");

// Draws what is known of a version, as `rain-ms-predrnn@2`, and returns the sentence that stands first.
export async function drawCard(box, reference) {
  const [name, version] = reference.split("@");
  const model = await api.json(`v1/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`);
  const summary = paragraph(model.summary, "hint");
  summary.lang = "en";
  if (!model.scores.length) {
    box.replaceChildren(summary);
    return text("card.noScores", { model: title(reference) });
  }
  const known = SHIPPED[reference] ?? { data: {}, caveat: null };
  const data = (score) => (score.data in known.data ? text(known.data[score.data]) : text("card.dataSet", { name: score.data }));
  const sets = grouped(model.scores, (score) => JSON.stringify([score.data, score.protocol, metricTitle(score), leadOf(score)]));
  const kinds = [...new Set(model.scores.map(kindOf))].filter((kind) => kind in METRICS);
  const several = new Set(model.scores.map((score) => score.data)).size > 1;
  const notes = [...(known.caveat ? [text(known.caveat)] : []), ...(several ? [text("card.severalSets")] : [])];
  const horizons = [...new Set(model.scores.map((score) => score.protocol))].map(horizon);
  const meanings = document.createElement("details");
  meanings.append(Object.assign(document.createElement("summary"), { textContent: text("card.meanings") }));
  meanings.append(...[...kinds.map((kind) => text(`card.means.${kind}`)), ...horizons].filter(Boolean).map((words) => paragraph(words)));
  const [first, ...others] = sets.map((scores) => [sentence(scores, reference, data), tableOf(scores, data)]);
  box.replaceChildren(summary, ...notes.map((note) => paragraph(note)), meanings, first[1], ...others.flatMap(([words, values]) => [paragraph(words), values]));
  return first[0];
}

// The protocol nowcast-60@1 scores lead times to 60 minutes.
function horizon(protocol) {
  const minutes = /^nowcast-(\d+)(?:-\w+)?@/.exec(protocol)?.[1];
  return minutes ? text("card.horizon", { minutes: Number(minutes), protocol }) : "";
}

function leadOf(score) {
  if (score.lead_minutes !== null) return text("card.lead", { minutes: score.lead_minutes });
  const words = parsed(score)?.[3];
  return !words || words === "mean over leads" ? text("card.meanOverLeads") : words;
}

function sentence(scores, reference, data) {
  const own = scores.find((score) => modelOf(score) === reference);
  if (!own) return "";
  const sign = metricOf(own).lowerIsBetter ? -1 : 1;
  const [best] = scores
    .filter((score) => score !== own && score.threshold_mm_h === own.threshold_mm_h)
    .sort((one, other) => sign * (other.value - one.value));
  const about = { data: data(own), metric: metricTitle(own), lead: leadOf(own) };
  const threshold = rate(own.threshold_mm_h ?? 0);
  const isCsi = kindOf(own) === "csi" && own.threshold_mm_h !== null;
  const shown = isCsi ? (score) => ofHundred(score.value) : figure;
  const kind = isCsi ? "card.csi" : own.threshold_mm_h === null ? "card.sentence" : "card.sentenceOfThreshold";
  const words = text(kind, { ...about, value: shown(own), threshold });
  return best ? `${words} ${text("card.best", { model: title(modelOf(best)), value: shown(best) })}` : words;
}

function tableOf(scores, data) {
  const thresholds = [...new Set(scores.map((score) => score.threshold_mm_h))];
  const heads = thresholds.map((threshold) => (threshold === null ? text("card.value") : text("skill.rate", { threshold: rate(threshold) })));
  const caption = text("card.caption", { data: data(scores[0]), metric: metricTitle(scores[0]), lead: leadOf(scores[0]), protocol: scores[0].protocol });
  const rows = grouped(scores, modelOf).map((alike) => [
    title(modelOf(alike[0])), ...thresholds.map((threshold) => alike.filter((score) => score.threshold_mm_h === threshold).map(figure)[0] ?? ""),
  ]);
  return table(caption, [text("card.model"), ...heads], rows);
}

function grouped(items, key) {
  const groups = new Map();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return [...groups.values()];
}
