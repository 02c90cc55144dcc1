// The measured skill of the model that made this nowcast: a table for each data set, with the protocol of its scores.

import * as api from "./api.js";

const at = (id) => document.getElementById(id);

export async function drawSkill(reference) {
  const [name, version] = (reference || "").split("@");
  at("skill-tables").replaceChildren();
  at("skill-words").textContent = "";
  if (!version) return;
  let model;
  try {
    model = await api.json(`v1/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`);
  } catch {
    at("skill-words").textContent = `${name} ${version} is no longer installed here.`;
    return;
  }
  if (!model.scores.length) {
    at("skill-words").textContent = `${model.summary} No measured scores come with it: judge it by what it shows against the next frames.`;
    return;
  }
  const sets = grouped(model.scores, (score) => JSON.stringify([score.data, score.protocol, what(score)]));
  at("skill-words").textContent = `${model.summary} ${CSI} It was measured on ${[...new Set(model.scores.map((score) => score.data))].join(" and ")}, each with other weather: compare within a table, not between tables.`;
  at("skill-tables").replaceChildren(...sets.flatMap((scores) => [paragraph(sentence(scores, reference)), table(scores)]));
}

const CSI = "CSI is the part of the places with rain, forecast or fallen, that were forecast right: 1 is best, 0 is worst.";

// Scores are called "csi of NAME@VERSION, mean over leads"; others stand in the table by the name that they have.
const named = (score) => /^(\S+) of (\S+?)(?:, (.*))?$/.exec(score.metric);
const modelOf = (score) => named(score)?.[2] ?? score.metric;

function what(score) {
  const found = named(score);
  const lead = score.lead_minutes === null ? found?.[3] || "all leads" : `${score.lead_minutes} min ahead`;
  return `${found ? found[1].toUpperCase() : "Scores"}, ${lead}`;
}

function sentence(scores, reference) {
  const mine = scores.find((score) => modelOf(score) === reference);
  if (!mine) return "";
  const others = scores.filter((score) => score !== mine && score.threshold_mm_h === mine.threshold_mm_h);
  const best = others.sort((one, other) => other.value - one.value)[0];
  const beside = best ? `, and the best that it was compared with, ${modelOf(best).replace("@", " ")}, has ${best.value.toFixed(3)}` : "";
  const rain = mine.threshold_mm_h === null ? "" : ` for rain of ${mine.threshold_mm_h} mm/h and more`;
  return `On ${mine.data} this model has ${mine.value.toFixed(3)}${rain}${beside}.`;
}

function table(scores) {
  const thresholds = [...new Set(scores.map((score) => score.threshold_mm_h))];
  const element = document.createElement("table");
  const caption = document.createElement("caption");
  caption.textContent = `Data set ${scores[0].data}: ${what(scores[0])} (${scores[0].protocol})`;
  const heads = thresholds.map((threshold) => (threshold === null ? "Value" : `${threshold} mm/h`));
  element.append(caption, row("th", ["Model", ...heads]), ...grouped(scores, modelOf).map((alike) => {
    const value = (threshold) => alike.find((score) => score.threshold_mm_h === threshold)?.value.toFixed(3) ?? "";
    return row("td", [modelOf(alike[0]).replace("@", " "), ...thresholds.map(value)]);
  }));
  return element;
}

function grouped(items, key) {
  const groups = new Map();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) || []), item]);
  return [...groups.values()];
}

function paragraph(words) {
  const element = document.createElement("p");
  element.textContent = words;
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
