// Precipitation at one place over time: observed and forecast rates as bars, with the range in which they may lie.
// A time without data is hatched, never empty; beyond the longest lead time that was scored, bars are faded.

import { make, svg } from "../dom.js";
import { clock, number, text } from "../messages.js";

const WIDTH = 360;
const LEFT = 30;
const RIGHT = 68; // the words of the intensities stand there
const TOP = 20;
const PLOT = 118;
const AXIS = 20;
const STRIP = 15;
const RATES = [["light", 0, 2.5], ["moderate", 2.5, 10], ["heavy", 10, 50], ["violent", 50, 1000]]; // WMO-No. 8
const TOPS = [10, 25, 60, 120, 240]; // mm/h: drizzle never looks like a downpour
const POSSIBLE = 0.1;
const NEARLY_CERTAIN = 0.9;
const minute = 60000;

// Lower and upper end of the range of a forecast time (mm/h): 10th and 90th percentile of the members, else the rates
// that it reaches with 90 % and with 10 %, of those whose probability is known. null: nothing tells it.
export function rangeOf(value, thresholds) {
  if (value.members && value.members.p10 !== null) return [value.members.p10, value.members.p90];
  if (!value.probability?.length || value.probability[0] === null) return null;
  const reached = (least) => thresholds.filter((_, index) => value.probability[index] >= least - 1e-6).at(-1) ?? 0;
  return [reached(NEARLY_CERTAIN), reached(POSSIBLE)];
}

export const hasProbability = ({ forecast }) => forecast.some((value) => value.probability_of_rain !== null);

// Times of the axis and their place: a bar lasts from the time before to its own.
function timeAxis(values) {
  const times = values.map((value) => Date.parse(value.valid_time));
  const steps = times.slice(1).map((time, index) => time - times[index]).sort((a, b) => a - b);
  const step = steps[steps.length >> 1] ?? 5 * minute;
  const [first, last] = [times[0] - step, times.at(-1)];
  const x = (time) => LEFT + ((WIDTH - LEFT - RIGHT) * (Math.min(Math.max(time, first), last) - first)) / (last - first);
  return { times, step, first, last, x };
}

function rateAxis(values, thresholds) {
  const highest = Math.max(0, ...values.map((value) => Math.max(value.rain_rate ?? 0, rangeOf(value, thresholds)?.[1] ?? 0)));
  const top = TOPS.find((rate) => rate >= highest) ?? highest;
  return { top, y: (rate) => TOP + PLOT * (1 - Math.sqrt(Math.min(rate, top) / top)) }; // square root: drizzle stays visible
}

// What bars and their pale parts are, in words.
export function key(answer) {
  const isRanged = answer.forecast.some((value) => rangeOf(value, answer.thresholds_mm_h));
  const values = [...answer.past, ...answer.forecast];
  const isMissing = values.some((value) => value.rain_rate === null) || gapsOf(answer, timeAxis(values)).length > 0;
  const words = [["bar", "place.keyRate"], ...(isRanged ? [["range", answer.members ? "place.keyMembers" : "place.keyProbabilities"]] : []), ...(isMissing ? [["missing", "place.keyMissing"]] : [])];
  return make("p", { class: "meteogram-key" }, ...words.map(([kind, message]) => make("span", {}, make("i", { class: kind }), text(message))));
}

const colourOf = (legend, value) => legend.classes.findLast(({ lower }) => value >= lower)?.colour ?? legend.dry.colour;

// Returns { node, follow(time) }: follow moves the cursor to the frame that the map shows.
export function meteogram(answer, { legend, probabilityLegend, scored, onPick }) {
  const values = [...answer.past, ...answer.forecast];
  const horizontal = timeAxis(values);
  const vertical = rateAxis(values, answer.thresholds_mm_h);
  const likely = hasProbability(answer);
  const height = TOP + PLOT + AXIS + (likely ? STRIP + 18 : 0);
  const what = text(likely ? "place.chartWithProbability" : "place.chart");
  const node = svg("svg", { class: "meteogram", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": what });
  const parts = { answer, values, legend, scored, horizontal, vertical, onPick };
  node.append(hatch(legend), ...bands(parts), ...gaps(parts), ...bars(parts), ...lines(parts), ...clockLabels(parts));
  if (likely) node.append(...strip(parts, probabilityLegend ?? legend));
  const cursor = svg("rect", { class: "cursor", y: TOP - 2, height: PLOT + 4, rx: 2 });
  node.append(cursor, ...targets(parts));
  return { node, follow: (time) => moveTo(cursor, time, horizontal) };
}

// Light, moderate, heavy: words say more than mm/h.
function bands({ answer, vertical: { top, y }, horizontal }) {
  const right = WIDTH - RIGHT;
  const future = horizontal.x(Date.parse(answer.now));
  const shown = RATES.filter(([, lower]) => lower < top);
  const parts = shown.flatMap(([word, lower, upper], index) => [
    svg("rect", { class: `band ${index % 2 ? "odd" : "even"}`, x: LEFT, width: right - LEFT, y: y(upper), height: y(lower) - y(upper) }),
    svg("text", { class: "word", x: right + 5, y: (y(lower) + y(Math.min(upper, top))) / 2 + 4 }, text(`place.intensity.${word}`)),
  ]);
  const rates = [2.5, 10, 50].filter((rate) => rate < top);
  const marks = [...rates, top].map((rate) => svg("text", { x: LEFT - 5, y: y(rate) + 4, "text-anchor": "end" }, number(rate)));
  return [
    ...parts,
    svg("rect", { class: "future", x: future, y: TOP, width: Math.max(0, right - future), height: PLOT }),
    ...marks,
    svg("text", { x: 0, y: 11 }, answer.unit),
  ];
}

function bars({ answer, values, legend, scored, horizontal: { times, step, x }, vertical: { y } }) {
  const floor = TOP + PLOT;
  return values.flatMap((value, index) => {
    const [left, right] = [x(times[index] - step), x(times[index])];
    const width = Math.max(1, right - left - (right - left > 4 ? 1.5 : 0.3));
    const at = { x: left + 0.6, width };
    const kind = `${value.kind}${scored !== null && value.lead_minutes > scored ? " beyond" : ""}`;
    if (value.rain_rate === null) {
      return [svg("rect", { ...at, class: `missing ${kind}`, y: TOP, height: PLOT, fill: "url(#no-data)" })];
    }
    const drawn = [];
    const range = value.kind === "forecast" ? rangeOf(value, answer.thresholds_mm_h) : null;
    if (range && range[1] > range[0] && range[1] >= legend.dry.below) {
      drawn.push(svg("rect", { ...at, class: `range ${kind}`, y: y(range[1]), height: y(range[0]) - y(range[1]) }));
    }
    if (value.rain_rate >= legend.dry.below) {
      const tall = Math.max(2, floor - y(value.rain_rate));
      const inset = range ? width * 0.18 : 0;
      drawn.push(svg("rect", { x: at.x + inset, width: width - 2 * inset, class: `bar ${kind}`, y: floor - tall, height: tall, fill: colourOf(legend, value.rain_rate) }));
    }
    return drawn;
  });
}

// Times for which there is no value, each as [from, to]. Between the newest frame and the first lead step to come, two
// frames are not here yet: of a radar that is later than that, they are missing.
function gapsOf({ past }, { times, step }) {
  return times.slice(1)
    .map((time, index) => ({ from: times[index], to: time - step, isNow: index === past.length - 1 }))
    .filter(({ from, to, isNow }) => to - from > (isNow ? 2.1 : 0.1) * step)
    .map(({ from, to }) => [from, to]);
}

// A frame that is missing is hatched.
function gaps({ answer, horizontal }) {
  const { x } = horizontal;
  return gapsOf(answer, horizontal).map(([from, to]) =>
    svg("rect", { class: "missing gap", x: x(from), width: x(to) - x(from), y: TOP, height: PLOT, fill: "url(#no-data)" }));
}

function lines({ answer, values, scored, horizontal: { x, step, times } }) {
  const floor = TOP + PLOT;
  const now = x(Date.parse(answer.now));
  const parts = [
    svg("line", { class: "zero", x1: LEFT, x2: WIDTH - RIGHT, y1: floor, y2: floor }),
    svg("line", { class: "now", x1: now, x2: now, y1: TOP - 4, y2: floor }),
    svg("text", { class: "now", x: now, y: 11, "text-anchor": "middle" }, text("place.now")),
  ];
  const beyond = scored === null ? -1 : values.findIndex((value) => value.kind === "forecast" && value.lead_minutes > scored);
  if (beyond >= 0) {
    const edge = x(times[beyond] - step);
    parts.push(
      svg("line", { class: "scored", x1: edge, x2: edge, y1: TOP, y2: floor }),
      svg("text", { x: Math.min(edge + 3, WIDTH - RIGHT - 50), y: TOP + 10 }, text("place.notScored")),
    );
  }
  return parts;
}

// Full hours, halves or quarters by the local clock, as many as there is room for.
function clockLabels({ horizontal: { first, last, x } }) {
  const every = minute * ([15, 30, 60, 120, 360].find((minutes) => (last - first) / (minutes * minute) <= 6) ?? 1440);
  const offset = new Date(first).getTimezoneOffset() * minute;
  const labels = [];
  for (let time = Math.ceil((first - offset) / every) * every + offset; time <= last; time += every) {
    labels.push(
      svg("line", { class: "tick", x1: x(time), x2: x(time), y1: TOP + PLOT, y2: TOP + PLOT + 4 }),
      svg("text", { x: x(time), y: TOP + PLOT + 15, "text-anchor": "middle" }, clock(new Date(time))),
    );
  }
  return labels;
}

// Probability of precipitation at each time of the forecast, in the colours of its own legend.
function strip({ answer, scored, horizontal: { step, x } }, legend) {
  const y = TOP + PLOT + AXIS + 15;
  const start = x(Date.parse(answer.forecast[0]?.valid_time) - step);
  const cells = answer.forecast.map((value) => {
    const time = Date.parse(value.valid_time);
    const share = value.probability_of_rain;
    const fill = share === null ? "url(#no-data)" : colourOf(legend, 100 * share);
    const kind = scored !== null && value.lead_minutes > scored ? "chance beyond" : "chance";
    return svg("rect", { class: kind, x: x(time - step), width: Math.max(1, x(time) - x(time - step) - 0.4), y, height: STRIP, fill });
  });
  const chances = answer.forecast.map((value) => value.probability_of_rain).filter((share) => share !== null);
  const isKnown = chances.length > 0 && chances.length === answer.forecast.length; // else a higher one may be missing
  const most = isKnown ? svg("text", { class: "word", x: WIDTH - RIGHT + 5, y: y + 12 }, text("place.upTo", { percent: Math.round(100 * Math.max(...chances)) })) : null;
  return [svg("text", { x: start, y: y - 4 }, text("place.probability")), ...cells, ...(most ? [most] : [])];
}

function targets({ values, horizontal: { times, step, x }, onPick }) {
  return values.map((value, index) => {
    const left = x(times[index] - step);
    const target = svg("rect", { class: "target", x: left, y: TOP, width: x(times[index]) - left, height: PLOT });
    target.append(svg("title", {}, tooltip(value)));
    target.addEventListener("click", () => onPick(value));
    return target;
  });
}

function tooltip(value) {
  const rate = value.rain_rate === null ? text("place.noDataThen") : text("place.rate", { rate: rateText(value.rain_rate) });
  const chance = value.probability_of_rain === null ? "" : `, ${text("place.chanceThen", { percent: Math.round(100 * value.probability_of_rain) })}`;
  return `${clock(value.valid_time)}: ${rate}${chance}`;
}

export const rateText = (rate) => number(rate, { maximumFractionDigits: rate < 10 ? 1 : 0 });

function moveTo(cursor, time, { times, step, x }) {
  const at = times.findIndex((one) => Math.abs(one - time) < step / 2);
  cursor.toggleAttribute("hidden", at < 0);
  if (at < 0) return;
  cursor.setAttribute("x", x(times[at] - step));
  cursor.setAttribute("width", x(times[at]) - x(times[at] - step));
}

function hatch({ no_data: { colours: [dark, light] } }) {
  const pattern = svg("pattern", { id: "no-data", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("rect", { width: 6, height: 6, fill: light }), svg("rect", { width: 3, height: 6, fill: dark }));
  return svg("defs", {}, pattern);
}
