// Lines with their 95 % intervals and their names at their ends, in shares of 100.

import { apart, drawing, path, shape, widthOf } from "./svg.js";

const LEFT = 34;
const TOP = 12;
const BOTTOM = 42;
const LINE = 16;

// `x`: {positions, labels, title, marked (index), onPick (index)}; `series`: [{name, title, values, low, high, style}],
// shares of 0 to 1 or null, by position; `style`: its number in the look. `titles`: what pointing at a position shows.
export function lineChart(box, { label, yTitle, x, series, titles }) {
  const width = Math.max(280, Math.min(box.clientWidth, 1100));
  const height = width < 500 ? 250 : 320;
  const right = 14 + Math.max(...series.map(({ name }) => widthOf(name)));
  const plot = { left: LEFT, right: width - right, top: TOP + LINE, bottom: height - BOTTOM };
  const svg = drawing(width, height, label);
  const [first, last] = [x.positions[0], x.positions.at(-1)];
  const edge = x.positions.length > 1 ? 8 : (plot.right - plot.left) / 2;
  const at = (position) => plot.left + edge + (plot.right - plot.left - 2 * edge) * (last > first ? (position - first) / (last - first) : 0);
  const up = (share) => plot.bottom - (plot.bottom - plot.top) * Math.min(1, Math.max(0, share));

  svg.append(shape("text", { x: 0, y: TOP }, yTitle));
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(shape("line", { class: share ? "grid" : "axis", x1: plot.left, x2: plot.right, y1: up(share), y2: up(share) }));
    svg.append(shape("text", { x: plot.left - 6, y: up(share) + 4, "text-anchor": "end" }, String(100 * share)));
  }
  const every = Math.ceil(x.labels.length / Math.max(2, Math.floor((plot.right - plot.left) / 44)));
  x.labels.forEach((text, index) => {
    if ((x.labels.length - 1 - index) % every) return;
    svg.append(shape("text", { x: at(x.positions[index]), y: plot.bottom + 17, "text-anchor": "middle" }, text));
  });
  svg.append(shape("text", { x: (plot.left + plot.right) / 2, y: height - 6, "text-anchor": "middle" }, x.title));
  if (x.marked >= 0) {
    const marked = at(x.positions[x.marked]);
    svg.append(shape("line", { class: "marked", x1: marked, x2: marked, y1: plot.top - 4, y2: plot.bottom }));
  }
  const back = [...series].reverse(); // the first one lies above the others
  for (const one of back) svg.append(band(one, x, at, up));
  for (const one of back) svg.append(...line(one, x, at, up));
  svg.append(...names(series, x, at, up, plot));
  if (x.marked >= 0) svg.append(...values(series, x, at, up, plot));
  x.positions.forEach((position, index) => svg.append(target(x, index, titles[index], at, plot)));
  box.replaceChildren(svg);
}

function band({ values, low, high, style }, x, at, up) {
  const known = values.map((value, index) => (value === null || low[index] === null ? null : index));
  const runs = known.reduce((found, index) => {
    if (index === null) found.push([]);
    else found.at(-1).push(index);
    return found;
  }, [[]]);
  const side = (run, bounds) => run.map((index) => `${at(x.positions[index]).toFixed(1)} ${up(bounds[index]).toFixed(1)}`);
  const whole = runs.filter((run) => run.length > 1)
    .map((run) => `M${side(run, high).join("L")}L${side([...run].reverse(), low).join("L")}Z`).join("");
  const alone = runs.filter((run) => run.length === 1)
    .map(([index]) => `M${at(x.positions[index])} ${up(low[index])}V${up(high[index])}`).join("");
  const group = shape("g", { class: `series s${style}` });
  if (whole) group.append(shape("path", { class: "band", d: whole }));
  if (alone) group.append(shape("path", { class: "whisker", d: alone }));
  return group;
}

function line({ values, style }, x, at, up) {
  const points = values.map((value, index) => (value === null ? null : [at(x.positions[index]), up(value)]));
  const group = shape("g", { class: `series s${style}` });
  group.append(shape("path", { class: "line", d: path(points) }));
  for (const point of points.filter(Boolean)) group.append(shape("circle", { class: "dot", cx: point[0], cy: point[1], r: 3 }));
  return [group];
}

// The name of each line at its end.
function names(series, x, at, up, plot) {
  const shown = series.map((one) => ({ ...one, end: one.values.findLastIndex((value) => value !== null) })).filter(({ end }) => end >= 0);
  const heights = apart(shown.map(({ values: of, end }) => up(of[end])), LINE, plot.top, plot.bottom);
  return shown.map(({ name, values: of, end, style }, row) => {
    const group = shape("g", { class: `series s${style}` });
    group.append(shape("path", { class: "leader", d: `M${at(x.positions[end]) + 4} ${up(of[end])}L${plot.right + 4} ${heights[row]}` }));
    group.append(shape("text", { class: "name", x: plot.right + 7, y: heights[row] + 4 }, name));
    return group;
  });
}

// The value of each line at the marked position, beside it.
function values(series, x, at, up, plot) {
  const shown = series.filter(({ values: of }) => of[x.marked] !== null);
  const heights = apart(shown.map(({ values: of }) => up(of[x.marked])), 14, plot.top, plot.bottom - 4);
  const last = x.marked === x.positions.length - 1;
  const place = { x: at(x.positions[x.marked]) + (last ? -7 : 7), "text-anchor": last ? "end" : "start" };
  return shown.map(({ values: of, style }, row) => {
    const group = shape("g", { class: `series s${style}` });
    group.append(shape("text", { class: "value", y: heights[row] - 4, ...place }, String(Math.round(100 * of[x.marked]))));
    return group;
  });
}

function target(x, index, title, at, plot) {
  const { positions } = x;
  const middle = (one, other) => (at(positions[one]) + at(positions[other])) / 2;
  const from = index ? middle(index - 1, index) : plot.left;
  const to = index < positions.length - 1 ? middle(index, index + 1) : plot.right;
  const rect = shape("rect", { class: "target", x: from, y: plot.top, width: to - from, height: plot.bottom - plot.top });
  rect.append(shape("title", {}, title));
  rect.addEventListener("click", () => x.onPick(index));
  return rect;
}
