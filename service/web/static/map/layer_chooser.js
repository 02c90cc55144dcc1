// What the map shows: rain, a probability, ...; how strongly; and the legend of it.

import { node } from "../dom.js";
import { icon } from "../icons.js";
import { text } from "../messages.js";
import { titleOf } from "./layer_title.js";
import { drawLegend } from "./legend.js";

// Makes the children of an element anew where what they are of differs: what has the focus, or is open, stays else.
function renew(element, items, make) {
  const of = JSON.stringify(items);
  if (element.dataset.of === of) return;
  element.dataset.of = of;
  element.replaceChildren(...make());
}

export function layerChooser(element, legend, map, state) {
  const open = node("button", { type: "button", className: "button layers-open" });
  const choices = node("fieldset", { className: "layers-choices" });
  const opacity = node("input", { type: "range", min: 20, max: 100, value: 100 });
  const motion = node("input", { type: "checkbox", checked: state.motion });
  const models = node("select", { className: "layers-compare" });
  const compare = node("label", { className: "layers-more" }, text("compare.with"), models);
  const panel = node("div", { className: "layers-panel", hidden: true }, choices,
    node("label", { className: "layers-motion" }, motion, text("layer.motion")), node("label", { className: "layers-more" }, text("layer.opacity"), opacity), compare);
  open.setAttribute("aria-expanded", "false");
  open.addEventListener("click", () => show(panel.hidden));
  opacity.addEventListener("input", () => {
    for (const pane of ["radar", "compare"]) map.getPane(pane).style.opacity = opacity.value / 100;
  });
  motion.addEventListener("change", () => state.set({ motion: motion.checked }));
  models.addEventListener("change", () => state.set({ compare: models.value || null }));
  element.append(open, panel);

  function show(visible) {
    panel.hidden = !visible;
    open.setAttribute("aria-expanded", String(visible));
  }

  function draw() {
    const { source } = state;
    element.hidden = legend.hidden = !source?.layers.length;
    if (element.hidden) return;
    const chosen = source.layerOf(state.layer);
    open.replaceChildren(icon("layers"), node("span", { textContent: titleOf(chosen) }));
    renew(choices, source.layers.map(({ id }) => id), () => [node("legend", { className: "visually-hidden", textContent: text("layer.choose") }), ...source.layers.map(choice)]);
    for (const input of choices.querySelectorAll("input")) input.checked = input.value === chosen.id;
    const others = source.models.filter(({ own }) => !own).map(({ model }) => model);
    compare.hidden = !others.length;
    renew(models, others, () => [node("option", { value: "", textContent: text("compare.none") }), ...others.map((model) => node("option", { value: model, textContent: model.replace("@", " ") }))]);
    models.value = state.compare ?? "";
    drawDrawn();
  }

  function choice(layer) {
    const input = node("input", { type: "radio", name: "layer", value: layer.id });
    input.addEventListener("change", () => state.set({ layer: layer.id, ...frameFor(layer) }));
    return node("label", {}, input, node("span", { textContent: titleOf(layer) }));
  }

  // A time that the user chose stays where its frame has the layer; else the map shows what the layer opens with.
  function frameFor(layer) {
    const { source, frame, at } = state;
    if (!frame || (at !== null && source.has(frame, layer))) return {};
    return { frame: source.opensWith(layer.id), at: null };
  }

  function drawDrawn() {
    const { source, frame } = state;
    if (source && frame) drawLegend(legend, source.drawnLayer(frame, source.layerOf(state.layer)));
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !panel.hidden) { show(false); open.focus(); }
  });
  map.on("click", () => show(false));
  state.on(["source", "layer"], draw);
  state.on("frame", drawDrawn);
  draw();
}
