// Rain at one place over time: bars in the colours of the legend. A frame without data is hatched, never empty.

import { clockUtc, isBeyond, lead, rain as rainText, utc } from "./format.js";
import { colourOf } from "./legend.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 350;
const HEIGHT = 190;
const LEFT = 34;
const TOP = 18;
const BOTTOM = 34;
const PLOT = HEIGHT - TOP - BOTTOM;
const STRIP = 14; // height of the probabilities below the time axis

function shape(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// A square root scale: drizzle stays visible beside a downpour.
const scaleFor = (series) => {
  const peak = Math.max(...series.map((item) => item.rain_rate ?? 0));
  const top = [2, 5, 10, 20, 50, 100, 200].find((value) => value >= peak) ?? peak;
  return { top, y: (value) => TOP + PLOT * (1 - Math.sqrt(Math.min(value, top) / top)) };
};

export function drawChart(box, point, { rain: legend, probability }, { onPick, scored }) {
  const { series, unit } = point;
  const { top, y } = scaleFor(series);
  const step = (WIDTH - LEFT - 4) / series.length;
  const x = (index) => LEFT + index * step;
  const likely = hasProbability(point);
  const height = HEIGHT + (likely ? STRIP + 20 : 0);
  const what = likely ? `Rain rate in ${unit} and probability of rain` : `Rain rate in ${unit}`;
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `${what} over time; the values are in the table below` });
  svg.append(hatch(legend));

  const firstForecast = series.findIndex((item) => item.kind === "forecast");
  const split = x(firstForecast < 0 ? series.length : firstForecast);
  svg.append(shape("rect", { class: "future", x: split, y: TOP, width: WIDTH - 4 - split, height: PLOT }));
  for (const value of [0.5, 2, 5, 10, 20, 50, 100].filter((one) => one <= top && one >= top / 20)) {
    svg.append(shape("line", { class: "grid", x1: LEFT, x2: WIDTH - 4, y1: y(value), y2: y(value) }));
    svg.append(shape("text", { x: LEFT - 5, y: y(value) + 4, "text-anchor": "end" }, String(value)));
  }
  svg.append(shape("text", { x: 0, y: 10 }, unit));

  for (const [index, item] of series.entries()) {
    const width = Math.max(1, step - (step > 5 ? 2 : 0.5));
    if (item.rain_rate === null) {
      svg.append(shape("rect", { x: x(index) + 1, y: TOP, width, height: PLOT, fill: "url(#no-data)", class: "bar missing" }));
    } else if (item.rain_rate >= legend.dry.below) {
      const tall = Math.max(2, TOP + PLOT - y(item.rain_rate));
      const kind = isBeyond(item, scored) ? "bar beyond" : "bar";
      svg.append(shape("rect", { x: x(index) + 1, y: TOP + PLOT - tall, width, height: tall, fill: colourOf(legend, item.rain_rate), class: kind }));
    }
  }
  svg.append(shape("line", { class: "zero", x1: LEFT, x2: WIDTH - 4, y1: TOP + PLOT, y2: TOP + PLOT }));
  svg.append(shape("line", { class: "reference", x1: split, x2: split, y1: TOP, y2: TOP + PLOT }));
  const firstBeyond = series.findIndex((item) => isBeyond(item, scored));
  if (firstBeyond >= 0) {
    const edge = x(firstBeyond);
    svg.append(shape("line", { class: "scored", x1: edge, x2: edge, y1: TOP, y2: TOP + PLOT }));
    svg.append(shape("text", { x: Math.min(edge + 3, WIDTH - 54), y: TOP + 10 }, "not scored"));
  }
  if (likely) svg.append(...strip(series, probability, { x, step, split, scored }));
  const cursor = shape("rect", { class: "cursor", y: TOP - 3, width: step, height: PLOT + 6, rx: 2 });
  svg.append(cursor);

  const every = Math.ceil(series.length / 5);
  for (let index = Math.max(firstForecast - 1, 0) % every; index < series.length; index += every) {
    const middle = Math.min(x(index) + step / 2, WIDTH - 16);
    svg.append(shape("text", { x: middle, y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, clockUtc(series[index].valid_time)));
  }
  svg.append(shape("text", { x: WIDTH - 4, y: HEIGHT - 4, "text-anchor": "end" }, "valid time, UTC"));

  for (const [index, item] of series.entries()) {
    const target = shape("rect", { class: "target", x: x(index), y: TOP, width: step, height: PLOT });
    target.append(shape("title", {}, `${utc(item.valid_time)} (${lead(item.lead_minutes)}): ${rainText(item.rain_rate, unit)}${chanceText(item)}`));
    target.addEventListener("click", () => onPick(item.index));
    svg.append(target);
  }
  box.replaceChildren(svg);
  return { follow: (frame) => cursor.setAttribute("x", x(series.findIndex((item) => item.index === frame))) };
}

// Probability of rain at each forecast time, in the colours of its own legend.
function strip(series, legend, { x, step, split, scored }) {
  const y = HEIGHT + 18;
  const title = shape("text", { x: split, y: y - 5 }, "probability of rain");
  return [title, ...series.flatMap((item, index) => {
    if (item.kind !== "forecast") return [];
    const known = item.probability_of_rain !== null;
    const fill = known ? colourOf(legend, 100 * item.probability_of_rain) : "url(#no-data)";
    const kind = isBeyond(item, scored) ? "bar beyond" : "bar";
    return [shape("rect", { x: x(index) + 0.5, y, width: Math.max(1, step - 1), height: STRIP, fill, class: kind })];
  })];
}

// Whether the probability of rain can be known; where there is no data it is null all the same.
const hasProbability = ({ members, thresholds_mm_h: thresholds }) => Boolean(members) || thresholds.includes(0.1);

const share = ({ probability_of_rain: value }) => (value === null ? "no data" : `${Math.round(100 * value)} %`);

const chanceText = (item) => (item.probability_of_rain === null ? "" : `, probability of rain ${share(item)}`);

function hatch({ no_data: { colours: [dark, light] } }) {
  const pattern = shape("pattern", { id: "no-data", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  pattern.append(shape("rect", { width: 6, height: 6, fill: light }), shape("rect", { width: 3, height: 6, fill: dark }));
  const defs = shape("defs", {});
  defs.append(pattern);
  return defs;
}

export function fillTable(table, point) {
  const head = document.createElement("thead");
  const body = document.createElement("tbody");
  const row = (parent, cell, texts) => {
    const line = document.createElement("tr");
    for (const text of texts) {
      const item = document.createElement(cell);
      item.textContent = text;
      line.append(item);
    }
    parent.append(line);
  };
  const likely = hasProbability(point);
  const chance = (item) => (item.kind === "forecast" ? share(item) : "");
  row(head, "th", ["Valid (UTC)", "Lead", "Kind", ...(likely ? ["Probability"] : []), `Rain, ${point.unit}`]);
  for (const item of point.series) {
    const rate = item.rain_rate === null ? "no data" : item.rain_rate.toFixed(1);
    row(body, "td", [clockUtc(item.valid_time), lead(item.lead_minutes), item.kind, ...(likely ? [chance(item)] : []), rate]);
  }
  table.replaceChildren(head, body);
}
