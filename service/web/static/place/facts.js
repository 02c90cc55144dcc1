// Numbers beside the sentence: each says no more than members, probabilities or the field know.

import { clock, number, text } from "../messages.js";

const ANY = 0.1; // mm/h: where precipitation begins

export function facts(answer) {
  const { outlook } = answer;
  if (!outlook || ["no-data", "no-forecast"].includes(outlook.state)) return [];
  return [start(outlook), end(outlook), ...chances(answer), total(answer)].filter(Boolean);
}

const both = (time) => `${clock(time)} (${clock(time, { timeZone: "UTC" })} UTC)`;

function start({ starts_from: from, starts_by: by }) {
  if (!by) return null;
  return [text("place.start"), from ? text("place.between", { from: clock(from), to: both(by) }) : text("place.by", { clock: both(by) })];
}

function end({ end: kind, over_by: by }) {
  if (!kind) return null;
  if (by) return [text("place.end"), text("place.by", { clock: both(by) })];
  return [text("place.end"), text(kind === "unknown" ? "place.notKnown" : kind === "lasts" ? "place.lasts" : "place.mayLast")];
}

// With members the chance of the next hour; without, that of the likeliest time, below which it cannot be.
function chances({ members, thresholds_mm_h: thresholds, forecast, unit }) {
  if (members) {
    const { chances: of, within_minutes: minutes } = members.next_hour;
    return of.map(({ threshold_mm_h: rate, probability }) => [
      rate <= ANY ? text("place.anyWithin", { minutes: Math.round(minutes) }) : text("place.chanceWithin", { rate: number(rate), unit, minutes: Math.round(minutes) }),
      probability === null ? text("place.notKnown") : share(probability, members.count),
    ]);
  }
  return thresholds.map((rate, index) => {
    const known = forecast.map((value) => value.probability[index]).filter((value) => value !== null && value !== undefined);
    const label = rate <= ANY ? text("place.anyAtOnce") : text("place.chanceAtOnce", { rate: number(rate), unit });
    if (!known.length) return [label, text("place.notKnown")];
    const words = known.length < forecast.length ? "place.upToWhereKnown" : "place.upTo";
    return [label, text(words, { percent: Math.round(100 * Math.max(...known)) })];
  });
}

// A share of members is a multiple of one over their number: none of them is not "never".
function share(probability, count) {
  const one = Math.round(100 / count);
  if (probability === 0) return text("place.lessThan", { percent: one });
  return probability === 1 ? text("place.moreThan", { percent: 100 - one }) : text("place.percent", { percent: Math.round(100 * probability) });
}

function total({ members, summary, outlook }) {
  const label = text("place.total", { clock: clock(outlook.until) });
  const mm = (value) => number(value, { maximumFractionDigits: value < 10 ? 1 : 0 });
  if (members) {
    const { p10, p50, p90 } = members.total_mm;
    if (p10 === null) return [label, text("place.notKnown")];
    return [label, text("place.totalRange", { low: mm(p10), high: mm(p90), median: mm(p50) })];
  }
  return [label, summary.total_mm === null ? text("place.notKnown") : text("place.totalAbout", { mm: mm(summary.total_mm) })];
}
