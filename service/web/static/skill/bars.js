// One share of 100 for each model, as bars with their intervals.

import { drawing, shape, widthOf } from "./svg.js";

const ROW = 34;
const BAR = 16;

// `bars`: [{name, style, value, low, high, words}]; low and high may be null.
export function barChart(box, { label, bars }) {
  const width = 340;
  const svg = drawing(width, ROW * bars.length, label);
  const most = width - widthOf("100") - 8;
  bars.forEach(({ name, style, value, low, high, words }, row) => {
    const top = ROW * row;
    const group = shape("g", { class: `series s${style}` });
    group.append(shape("title", {}, words));
    group.append(shape("text", { class: "name", x: 0, y: top + 12 }, name));
    group.append(shape("rect", { class: "track", x: 0, y: top + 17, width: most, height: BAR - 4, rx: 2 }));
    group.append(shape("rect", { class: "bar", x: 0, y: top + 17, width: most * value, height: BAR - 4, rx: 2 }));
    if (low !== null) group.append(shape("path", { class: "interval", d: `M${most * low} ${top + 23}H${most * high}M${most * low} ${top + 19}v8M${most * high} ${top + 19}v8` }));
    group.append(shape("text", { class: "value", x: width, y: top + 28, "text-anchor": "end" }, String(Math.round(100 * value))));
    svg.append(group);
  });
  box.replaceChildren(svg);
}
