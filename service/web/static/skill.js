// The measured skill of the model that made this nowcast, with the protocol it was measured under.

import * as api from "./api.js";

const at = (id) => document.getElementById(id);

export async function drawSkill(reference) {
  const [name, version] = (reference || "").split("@");
  at("skill-table").replaceChildren();
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
  const protocols = [...new Set(model.scores.map((score) => `${score.protocol}, on ${score.data}`))];
  at("skill-words").textContent = `${model.summary} Measured: ${protocols.join("; ")}.`;
  at("skill-table").replaceChildren(
    row("th", ["Score", "From mm/h", "Lead", "Value"]),
    ...model.scores.map((score) => row("td", [
      score.metric,
      score.threshold_mm_h ?? "",
      score.lead_minutes === null ? "all" : `${score.lead_minutes} min`,
      score.value.toFixed(3),
    ])),
  );
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
