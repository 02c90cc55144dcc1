// The form of a new nowcast: files, model, lead steps.

import * as api from "../api.js";
import { number, text } from "../messages.js";

const MEMBERS = 20;

const byId = (id) => document.getElementById(id);

export function uploadForm({ onSubmit, onProblem }) {
  let chosen = [];

  function listFiles() {
    byId("chosen").replaceChildren(...chosen.map((file) => {
      const row = document.createElement("li");
      const name = document.createElement("span");
      const size = document.createElement("span");
      name.textContent = file.name;
      size.textContent = sizeOf(file.size);
      row.append(name, size);
      return row;
    }));
  }

  function choose(files) {
    chosen = [...files];
    listFiles();
  }

  const fields = () => ({
    model: byId("model").value,
    steps: byId("steps").value,
    variable: byId("variable").value.trim(),
    zr: byId("zr").value,
    probabilities: byId("probabilities").checked ? "default" : "",
    members: byId("members").checked ? MEMBERS : "",
  });

  async function send(getFiles) {
    const buttons = [byId("go"), byId("sample")];
    const label = byId("go").textContent;
    buttons.forEach((button) => { button.disabled = true; });
    byId("go").textContent = text("upload.uploading");
    try {
      await onSubmit(await getFiles(), fields());
    } catch (problem) {
      onProblem(problem);
    } finally {
      buttons.forEach((button) => { button.disabled = false; });
      byId("go").textContent = label;
    }
  }

  byId("files").addEventListener("change", (event) => choose(event.target.files));
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!chosen.length) {
      onProblem(new api.Problem({
        title: text("upload.noFiles"), detail: text("upload.noFilesDetail"), hint: text("upload.noFilesHint"),
      }));
      return;
    }
    send(async () => chosen);
  });
  byId("sample").addEventListener("click", () => send(async () => [await api.sample()]));

  const drop = byId("drop");
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); choose(event.dataTransfer.files); });
  // A file dropped beside the box must not replace the page.
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

  fillModels().catch(onProblem);
}

const sizeOf = (bytes) => (bytes < 1e6
  ? `${number(Math.ceil(bytes / 1000))} kB`
  : `${number(bytes / 1e6, { maximumFractionDigits: 1 })} MB`);

const autoSummary = (model) => (!model || model.kind === "baseline"
  ? text("upload.autoBaseline")
  : `${text("upload.auto", { model: model.name })} ${rangeText(model)}`);

// A step is as long as the frames' time step: how many of them lie within the model's longest lead time.
const maxSteps = (model, minutes = model.time_step.min_minutes) =>
  Math.min(model.max_steps, Math.floor(model.max_lead_minutes / minutes));

function rangeText(model) {
  const { min_minutes: min, max_minutes: max } = model.time_step;
  const step = min <= 5 && max >= 5 ? 5 : min;
  return text("upload.range", { minutes: model.max_lead_minutes, steps: maxSteps(model, step), interval: step });
}

async function fillModels() {
  const models = await api.models();
  const select = byId("model");
  const auto = models.find((model) => model.default);
  const summaries = new Map([["auto", autoSummary(auto)]]);
  for (const model of models.filter((one) => one.data === "rain")) {
    const reference = `${model.name}@${model.version}`;
    const option = document.createElement("option");
    option.value = reference;
    option.textContent = `${model.name} ${model.version}`;
    select.append(option);
    const { min_minutes: min, max_minutes: max } = model.time_step;
    const needs = text("upload.needs", { count: model.input_frames, min, max });
    summaries.set(reference, `${model.summary} ${needs} ${rangeText(model)}`);
  }
  let wanted = true; // a model that makes no members does not change what the user wants of the next one
  byId("members").addEventListener("change", (event) => { wanted = event.target.checked; });
  const update = () => {
    byId("model-summary").textContent = summaries.get(select.value) || "";
    const model = models.find((one) => `${one.name}@${one.version}` === select.value);
    const runs = model || auto || models[0];
    byId("steps").max = maxSteps(runs);
    byId("members").disabled = !runs.makes_members;
    byId("members").checked = runs.makes_members && wanted;
    byId("members-hint").textContent = runs.makes_members
      ? text("upload.membersHint")
      : text("upload.noMembers", { model: `${runs.name} ${runs.version}` });
  };
  select.addEventListener("change", update);
  update();
}
