// The legend of the layer that is drawn, from the service's colour scale: the page has no colours of its own.

import { node } from "../dom.js";
import { number, text } from "../messages.js";
import { spanOf, titleOf } from "./layer_title.js";

const hatching = ({ no_data: { colours: [dark, light] } }) => `repeating-linear-gradient(135deg, ${dark} 0 3px, ${light} 3px 6px)`;

function patch(background) {
  const element = node("i");
  element.style.background = background;
  return element;
}

const rangeOf = ({ lower, upper }, unit) => (upper === null
  ? text("legend.from", { lower: number(lower), unit })
  : text("legend.range", { lower: number(lower), upper: number(upper), unit }));

// Classes of one word stand together: "light" over those up to 2 mm/h.
function words(classes) {
  const groups = [];
  for (const { word } of classes) {
    if (groups.length && groups.at(-1).word === word) groups.at(-1).size += 1;
    else groups.push({ word, size: 1 });
  }
  return groups.some(({ word }) => word) ? node("p", { className: "legend-words" }, ...groups.map(({ word, size }) => {
    const element = node("span", { textContent: word ? text(`intensity.${word}`) : "" });
    element.style.flexGrow = size;
    return element;
  })) : "";
}

export function drawLegend(element, layer) {
  const { legend } = layer;
  element.hidden = !legend;
  if (!legend) return;
  const list = node("ol", {}, ...legend.classes.map((item) =>
    node("li", { title: rangeOf(item, legend.unit) }, patch(item.colour), node("span", { textContent: number(item.lower) }))));
  element.replaceChildren(
    node("p", { className: "legend-title", textContent: [titleOf(layer), spanOf(layer), legend.unit].filter(Boolean).join(", ") }),
    words(legend.classes), list,
    node("p", { className: "legend-keys" }, node("span", {}, patch(hatching(legend)), text("legend.noData"))),
  );
}
