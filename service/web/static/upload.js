// The form: which files, which model, how many steps.

import * as api from "./api.js";
import { bytes } from "./format.js";

const at = (id) => document.getElementById(id);

export function uploadForm({ onSubmit, onProblem }) {
  let chosen = [];

  function show() {
    at("chosen").replaceChildren(...chosen.map((file) => {
      const row = document.createElement("li");
      const name = document.createElement("span");
      const size = document.createElement("span");
      name.textContent = file.name;
      size.textContent = bytes(file.size);
      row.append(name, size);
      return row;
    }));
  }

  function choose(files) {
    chosen = [...files];
    show();
  }

  const fields = () => ({
    model: at("model").value,
    steps: at("steps").value,
    variable: at("variable").value.trim(),
    zr: at("zr").value,
  });

  async function send(getFiles) {
    const buttons = [at("go"), at("sample")];
    const words = at("go").textContent;
    buttons.forEach((button) => { button.disabled = true; });
    at("go").textContent = "Sending the files…";
    try {
      await onSubmit(await getFiles(), fields());
    } catch (problem) {
      onProblem(problem);
    } finally {
      buttons.forEach((button) => { button.disabled = false; });
      at("go").textContent = words;
    }
  }

  at("files").addEventListener("change", (event) => choose(event.target.files));
  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!chosen.length) {
      onProblem(new api.Problem({
        title: "No radar files yet",
        detail: "A nowcast starts from radar frames.",
        hint: "Drop files on the box or choose them, or try the bundled sample.",
      }));
      return;
    }
    send(async () => chosen);
  });
  at("sample").addEventListener("click", () => send(async () => [await api.sample()]));

  const drop = at("drop");
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); choose(event.dataTransfer.files); });
  // A file dropped beside the box must not replace the page.
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

  fillModels().catch(onProblem);
}

const autoWords = (model) => (!model || model.kind === "baseline"
  ? "Extrapolation: the newest frame moves along its motion."
  : `${model.name} where it fits your frames, else extrapolation. ${farthest(model)}`);

// The server says how many of the frames' own steps lie within the minutes that a model forecasts.
const mostSteps = (model, minutes = model.time_step.min_minutes) =>
  Math.min(model.max_steps, Math.floor(model.max_lead_minutes / minutes));

function farthest(model) {
  const { min_minutes: least, max_minutes: most } = model.time_step;
  const step = least <= 5 && most >= 5 ? 5 : least;
  return `Forecasts up to ${model.max_lead_minutes} min ahead: ${mostSteps(model, step)} steps, where frames are ${step} min apart.`;
}

async function fillModels() {
  const models = await api.models();
  const select = at("model");
  const auto = models.find((model) => model.default);
  const summaries = new Map([["auto", autoWords(auto)]]);
  for (const model of models.filter((one) => one.data === "rain")) {
    const reference = `${model.name}@${model.version}`;
    const option = document.createElement("option");
    option.value = reference;
    option.textContent = `${model.name} ${model.version}`;
    select.append(option);
    const { min_minutes: least, max_minutes: most } = model.time_step;
    summaries.set(reference, `${model.summary} Needs ${model.input_frames} frames, ${least} to ${most} min apart. ${farthest(model)}`);
  }
  const tell = () => {
    at("model-summary").textContent = summaries.get(select.value) || "";
    const model = models.find((one) => `${one.name}@${one.version}` === select.value);
    at("steps").max = mostSteps(model || auto || models[0]);
  };
  select.addEventListener("change", tell);
  tell();
}
