// What the charts of scores share: shapes, the axes' marks, and labels that do not cover each other.

const SVG = "http://www.w3.org/2000/svg";

export function shape(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

export const drawing = (width, height, label) =>
  shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });

// Width of a text in the charts' font of 12 px, about.
export const widthOf = (text) => 6.6 * text.length;

// Moves heights apart, so that labels are at least `gap` from each other within [top, bottom]; keeps their order.
export function apart(heights, gap, top, bottom) {
  const order = heights.map((_, index) => index).sort((one, other) => heights[one] - heights[other]);
  const found = [...heights];
  order.forEach((index, rank) => {
    const above = rank ? found[order[rank - 1]] + gap : top;
    found[index] = Math.max(found[index], above);
  });
  let below = bottom;
  for (const index of order.reverse()) {
    found[index] = Math.min(found[index], below);
    below = found[index] - gap;
  }
  return found;
}

// A path through points [x, y]; a null is a gap.
export function path(points) {
  let drawn = false;
  return points.map((point) => {
    if (!point) { drawn = false; return ""; }
    const step = `${drawn ? "L" : "M"}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    drawn = true;
    return step;
  }).join("");
}
