// What the map shows: rain, or the probability of at least so much rain. Observed frames show rain in any case.

import { relative } from "./format.js";

const METHODS = {
  distribution: "The probabilities are those of the network's own distribution.",
  "neighbourhood-calibrated": "The probabilities come from the rain nearby, calibrated on past rain.",
  neighbourhood: "The probabilities come from the rain nearby, and are not calibrated: take them as a rough guide.",
};

const RAIN = { title: "Rain rate", dry: "dry" };

// The layers of a nowcast, rain first.
export function layersOf({ legend, probability }) {
  const rain = { name: "rain", label: "Rain", legend, words: RAIN, note: "", address: (frame) => relative(frame.href) };
  const likely = (probability?.thresholds_mm_h ?? []).map((threshold) => ({
    name: `probability-${threshold}`,
    label: String(threshold),
    legend: probability.legend,
    words: { title: `Probability of at least ${threshold} mm/h`, dry: "unlikely" },
    note: METHODS[probability.method] ?? "",
    address: ({ href, kind }) => relative(kind === "observed" ? href : `${href}?layer=probability&threshold=${threshold}`),
  }));
  return [rain, ...likely];
}

// The legend of a layer for one frame: that of rain where the frame is observed.
export const legendOf = (layer, layers, frame) => (frame.kind === "observed" ? layers[0] : layer);

// Radio buttons, one for each layer; hidden where there is nothing to choose.
export function drawChooser(box, layers, { chosen, onChoose }) {
  const radio = (layer) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    const text = document.createElement("span");
    Object.assign(input, { type: "radio", name: "layer", value: layer.name, checked: layer === chosen });
    if (layer !== layers[0]) input.setAttribute("aria-label", layer.words.title);
    input.addEventListener("change", () => onChoose(layer));
    text.textContent = layer.label;
    label.append(input, text);
    return label;
  };
  const legend = document.createElement("legend");
  legend.className = "visually-hidden";
  legend.textContent = "What the map shows";
  const words = (text) => Object.assign(document.createElement("span"), { className: "words", textContent: text });
  const [rain, ...likely] = layers;
  box.replaceChildren(legend, radio(rain), words("Probability of at least"), ...likely.map(radio), words("mm/h"));
  box.hidden = !likely.length;
}
