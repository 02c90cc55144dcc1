// The reliability diagram: how often it happened where a probability was forecast, and below how often each was.

import { apart, drawing, path, shape, widthOf } from "./svg.js";

const LEFT = 34;
const TOP = 28;
const COUNTS = 64; // height of the counts below the diagram
const FEW = 1000; // pixels; a point of fewer is hollow

// `curves`: [{name, style, points: [{forecast, observed, pixels, title}]}]; the counts are those of the first one.
export function reliabilityDiagram(box, { label, yTitle, xTitle, perfect, countTitle, countText, curves }) {
  const width = Math.max(280, Math.min(box.clientWidth, 620));
  const right = 14 + Math.max(...curves.map(({ name }) => widthOf(name)));
  const side = Math.min(width - LEFT - right, 340);
  const height = TOP + side + 26 + COUNTS + 34;
  const svg = drawing(width, height, label);
  const at = (share) => LEFT + side * share;
  const up = (share) => TOP + side * (1 - share);

  svg.append(shape("text", { x: 0, y: 12 }, yTitle));
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(shape("line", { class: share ? "grid" : "axis", x1: LEFT, x2: LEFT + side, y1: up(share), y2: up(share) }));
    svg.append(shape("line", { class: share ? "grid" : "axis", x1: at(share), x2: at(share), y1: TOP, y2: TOP + side }));
    svg.append(shape("text", { x: LEFT - 6, y: up(share) + 4, "text-anchor": "end" }, String(100 * share)));
    svg.append(shape("text", { x: at(share), y: TOP + side + 16, "text-anchor": "middle" }, String(100 * share)));
  }
  svg.append(shape("line", { class: "perfect", x1: at(0), y1: up(0), x2: at(1), y2: up(1) }));
  svg.append(shape("text", { class: "note", x: at(0.7), y: up(0.7) - 9, "text-anchor": "middle", transform: `rotate(-45 ${at(0.7)} ${up(0.7)})` }, perfect));
  for (const curve of [...curves].reverse()) svg.append(drawn(curve, at, up));
  svg.append(...names(curves, at, up, LEFT + side, TOP + side));
  svg.append(...counts(curves[0], at, TOP + side + 30, countTitle, countText, side));
  svg.append(shape("text", { x: LEFT + side / 2, y: height - 4, "text-anchor": "middle" }, xTitle));
  box.replaceChildren(svg);
}

function drawn({ points, style }, at, up) {
  const group = shape("g", { class: `series s${style}` });
  group.append(shape("path", { class: "line", d: path(points.map(({ forecast, observed }) => [at(forecast), up(observed)])) }));
  for (const { forecast, observed, pixels, title } of points) {
    const dot = shape("circle", { class: pixels < FEW ? "dot few" : "dot", cx: at(forecast), cy: up(observed), r: 4 });
    dot.append(shape("title", {}, title));
    group.append(dot);
  }
  return group;
}

function names(curves, at, up, edge, bottom) {
  const heights = apart(curves.map(({ points }) => up(points.at(-1).observed)), 16, TOP, bottom);
  return curves.map(({ name, style, points }, row) => {
    const end = points.at(-1);
    const group = shape("g", { class: `series s${style}` });
    group.append(shape("path", { class: "leader", d: `M${at(end.forecast) + 5} ${up(end.observed)}L${edge + 4} ${heights[row]}` }));
    group.append(shape("text", { class: "name", x: edge + 7, y: heights[row] + 4 }, name));
    return group;
  });
}

// Bars of the numbers of pixels, of equal steps for each factor of ten.
function counts({ points, style }, at, top, title, text, side) {
  const most = Math.max(...points.map(({ pixels }) => pixels), 10);
  const base = top + COUNTS;
  const tall = (pixels) => (COUNTS - 18) * Math.log10(1 + pixels) / Math.log10(1 + most);
  const group = shape("g", { class: `series s${style}` });
  const wide = side / 34;
  for (const { forecast, pixels } of points) {
    group.append(shape("rect", { class: "count", x: at(forecast) - wide / 2, y: base - tall(pixels), width: wide, height: tall(pixels) }));
  }
  const axis = shape("line", { class: "axis", x1: at(0), x2: at(1), y1: base, y2: base });
  const heading = shape("text", { x: at(0), y: top + 10 }, title);
  const largest = shape("text", { x: at(1) + 7, y: base - 2 }, text(most));
  return [group, axis, heading, largest];
}
