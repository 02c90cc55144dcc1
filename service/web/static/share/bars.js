// Precipitation at a place in bars: as high as it is heavy, in the colours of the legend, hatched where nothing is known.

import { clock, number, text } from "../messages.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 340;
const HEIGHT = 68;
const BASE = 52; // of the bars
const MOST = 50; // mm/h, as high as the picture

function shape(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// Light rain is to be seen beside heavy rain: the height goes with the square root.
const heightOf = (rate) => (rate < 0.1 ? 0 : Math.max(3, (BASE - 4) * Math.sqrt(Math.min(rate, MOST) / MOST)));

// `values`: [{valid_time, rain_rate}], null where there is no data; `legend`: of the layer of rain.
export function drawBars(element, values, legend) {
  const wide = WIDTH / Math.max(1, values.length);
  const colour = (rate) => legend.classes.findLast(({ lower }) => rate >= lower)?.colour ?? "none";
  const known = values.filter(({ rain_rate: rate }) => rate !== null);
  const peak = known.reduce((best, value) => (best === null || value.rain_rate > best.rain_rate ? value : best), null);
  const hatch = shape("pattern", { id: "embed-hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    shape("rect", { width: 6, height: 6, fill: legend.no_data.colours[1] }), shape("rect", { width: 3, height: 6, fill: legend.no_data.colours[0] }));
  const bars = values.map(({ rain_rate: rate }, index) => (rate === null
    ? shape("rect", { class: "missing", x: index * wide, y: 8, width: wide, height: BASE - 8 })
    : shape("rect", { class: "bar", x: index * wide + 1, y: BASE - heightOf(rate), width: Math.max(1, wide - 2), height: heightOf(rate), fill: colour(rate) })));
  const every = Math.ceil(values.length / 4);
  const times = values.filter((_, index) => index % every === 0).map(({ valid_time: time }, index) => shape("text", { x: index * every * wide, y: HEIGHT - 2 }, clock(time)));
  const svg = shape("svg", { class: "embed-bars", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    shape("defs", {}, hatch), shape("line", { class: "axis", x1: 0, x2: WIDTH, y1: BASE, y2: BASE }), ...bars, ...times);
  svg.setAttribute("preserveAspectRatio", "xMidYMid meet");
  const isWhole = known.length === values.length;
  svg.setAttribute("aria-label", !known.length ? text("embed.unknown") : peak.rain_rate >= 0.1
    ? text(isWhole ? "embed.peak" : "embed.peakWhereKnown", { rate: number(peak.rain_rate, { maximumFractionDigits: 1 }), time: clock(peak.valid_time) })
    : text(isWhole ? "embed.dry" : "embed.dryWhereKnown"));
  element.replaceChildren(svg);
}
