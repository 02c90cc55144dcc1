// Rain at one place over time: bars in the colours of the legend. A frame without data is hatched, never empty.

import { clockUtc, lead, rain as rainText, utc } from "./format.js";
import { colourOf } from "./legend.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 350;
const HEIGHT = 190;
const LEFT = 34;
const TOP = 18;
const BOTTOM = 34;
const PLOT = HEIGHT - TOP - BOTTOM;

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

export function drawChart(box, point, legend, { onPick }) {
  const { series, unit } = point;
  const { top, y } = scaleFor(series);
  const step = (WIDTH - LEFT - 4) / series.length;
  const x = (index) => LEFT + index * step;
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Rain rate in ${unit} over time; the values are in the table below` });
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
      const height = Math.max(2, TOP + PLOT - y(item.rain_rate));
      svg.append(shape("rect", { x: x(index) + 1, y: TOP + PLOT - height, width, height, fill: colourOf(legend, item.rain_rate), class: "bar" }));
    }
  }
  svg.append(shape("line", { class: "zero", x1: LEFT, x2: WIDTH - 4, y1: TOP + PLOT, y2: TOP + PLOT }));
  svg.append(shape("line", { class: "reference", x1: split, x2: split, y1: TOP, y2: TOP + PLOT }));
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
    target.append(shape("title", {}, `${utc(item.valid_time)} (${lead(item.lead_minutes)}): ${rainText(item.rain_rate, unit)}`));
    target.addEventListener("click", () => onPick(item.index));
    svg.append(target);
  }
  box.replaceChildren(svg);
  return { follow: (frame) => cursor.setAttribute("x", x(series.findIndex((item) => item.index === frame))) };
}

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
  row(head, "th", ["Valid (UTC)", "Lead", "Kind", `Rain, ${point.unit}`]);
  for (const item of point.series) {
    row(body, "td", [clockUtc(item.valid_time), lead(item.lead_minutes), item.kind, item.rain_rate === null ? "no data" : item.rain_rate.toFixed(1)]);
  }
  table.replaceChildren(head, body);
}
