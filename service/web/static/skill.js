// The measured skill of the model of this nowcast: a table for each data set, with the protocol of the scores.

import * as api from "./api.js";

const byId = (id) => document.getElementById(id);

export async function drawSkill(reference) {
  const [name, version] = (reference || "").split("@");
  byId("skill-tables").replaceChildren();
  byId("skill-text").textContent = "";
  if (!version) return null;
  let model;
  try {
    model = await api.json(`v1/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`);
  } catch {
    byId("skill-text").textContent = `${name} ${version} is no longer installed here.`;
    return null;
  }
  if (!model.scores.length) {
    byId("skill-text").textContent = `${model.summary} The package has no measured scores: compare its forecasts with the next frames.`;
    return model;
  }
  const sets = grouped(model.scores, (score) => JSON.stringify([score.data, score.protocol, what(score)]));
  const known = SHIPPED[reference] ?? { data: {}, caveat: "" };
  const measured = [...new Set(model.scores.map((score) => score.data))].map((data) => known.data[data] ?? data);
  const weather = measured.length > 1 ? ", each with different weather: compare within a table, not between tables" : "";
  const horizons = [...new Set(model.scores.map((score) => score.protocol))].map(horizon);
  byId("skill-text").textContent = [model.summary, ...definitions(model.scores), `Measured on ${measured.join(" and ")}${weather}.`, ...horizons, known.caveat].filter(Boolean).join(" ");
  byId("skill-tables").replaceChildren(...sets.flatMap((scores) => [paragraph(sentence(scores, reference, known)), table(scores, known)]));
  return model;
}

const METRICS = {
  csi: { title: "CSI", digits: 3, text: "CSI, the critical success index, is the share of the pixels with rain, forecast or observed, that were forecast correctly: 1 is best, 0 is worst.", lowerIsBetter: false },
  brier: { title: "Brier score", digits: 4, text: "The Brier score is the mean squared error of a probability: 0 is best.", lowerIsBetter: true },
  crps: { title: "CRPS (mm/h)", digits: 3, text: "CRPS, the continuous ranked probability score, is the error of the whole distribution in mm/h, of a single field its mean absolute error: 0 is best.", lowerIsBetter: true },
};
const OTHER = { digits: 3, text: "", lowerIsBetter: false };

// What is known of a score's metric, by the first word of its name: "csi", "Brier score", "CRPS (mm/h)".
const metricOf = (score) => METRICS[parsed(score)?.[1].toLowerCase().split(" ")[0]] ?? OTHER;
const definitions = (scores) => [...new Set(scores.map((score) => metricOf(score).text))];
const figure = (score) => score.value.toFixed(metricOf(score).digits);

// On what the shipped package was measured, and what its scores do not show, as its card has it.
const SHIPPED = {
  "rain-ms-predrnn@2": {
    data: { bom: "Brisbane (2020-10-31, hail)", opera: "Europe (2018-08-24)" },
    caveat: "Where heavy rain is hard to predict, its areas of heavy rain are too small: over Europe 0.8 times the observed area at 5 mm/h, 0.7 times at 10 mm/h. Two events are few: verify it on your own radar data.",
  },
};

const BASELINES = {
  "persistence@1": "persistence (the newest frame, unchanged)",
  "extrapolation@1": "extrapolation (the newest frame, moved along)",
  "pysteps@1": "pysteps (Lucas-Kanade extrapolation)",
  "pysteps-steps@1": "STEPS of pysteps (20 members)",
};
const title = (model) => BASELINES[model] ?? model.replace("@", " ");

// The protocol nowcast-60@1 scores lead times to 60 minutes.
function horizon(protocol) {
  const minutes = /^nowcast-(\d+)(?:-\w+)?@/.exec(protocol)?.[1];
  return minutes ? `The scores are for lead times up to ${minutes} minutes (protocol ${protocol}); longer ones were not scored.` : "";
}

// Scores are named "csi of NAME@VERSION, mean over leads"; others appear in the table under their own name.
const parsed = (score) => /^(.+?) of (\S+?)(?:, (.*))?$/.exec(score.metric);
const modelOf = (score) => parsed(score)?.[2] ?? score.metric;

const metric = (score) => metricOf(score).title ?? parsed(score)?.[1].toUpperCase();
const lead = (score) => (score.lead_minutes === null ? parsed(score)?.[3] || "all leads" : `${score.lead_minutes} min ahead`);
const what = (score) => `${metric(score) ?? "Scores"}, ${lead(score)}`;

function sentence(scores, reference, known) {
  const own = scores.find((score) => modelOf(score) === reference);
  if (!own) return "";
  const others = scores.filter((score) => score !== own && score.threshold_mm_h === own.threshold_mm_h);
  const sign = metricOf(own).lowerIsBetter ? -1 : 1;
  const best = others.sort((one, other) => sign * (other.value - one.value))[0];
  const comparison = best ? `; the best model compared with it, ${title(modelOf(best))}, has ${figure(best)}` : "";
  const rain = own.threshold_mm_h === null ? "" : ` for rain of ${own.threshold_mm_h} mm/h and more`;
  return `On ${known.data[own.data] ?? own.data} the ${metric(own) ?? "score"} of this model, ${lead(own)}, is ${figure(own)}${rain}${comparison}.`;
}

function table(scores, known) {
  const thresholds = [...new Set(scores.map((score) => score.threshold_mm_h))];
  const element = document.createElement("table");
  const caption = document.createElement("caption");
  caption.textContent = `${known.data[scores[0].data] ?? `Data set ${scores[0].data}`}: ${what(scores[0])} (${scores[0].protocol})`;
  const heads = thresholds.map((threshold) => (threshold === null ? "Value" : `${threshold} mm/h`));
  element.append(caption, row("th", ["Model", ...heads]), ...grouped(scores, modelOf).map((alike) => {
    const value = (threshold) => alike.filter((score) => score.threshold_mm_h === threshold).map(figure)[0] ?? "";
    return row("td", [title(modelOf(alike[0])), ...thresholds.map(value)]);
  }));
  return element;
}

function grouped(items, key) {
  const groups = new Map();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) || []), item]);
  return [...groups.values()];
}

function paragraph(text) {
  const element = document.createElement("p");
  element.textContent = text;
  return element;
}

function row(cell, texts) {
  const line = document.createElement("tr");
  for (const text of texts) {
    const item = document.createElement(cell);
    item.textContent = String(text);
    line.append(item);
  }
  return line;
}
