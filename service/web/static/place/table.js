// Every value of an answer as a table: what the meteogram draws, for those who want numbers, or cannot see it.

import { make } from "../dom.js";
import { clock, number, text } from "../messages.js";
import { hasProbability, rangeOf, rateText } from "./meteogram.js";

export function table(answer) {
  const likely = hasProbability(answer);
  const values = [...answer.past, ...answer.forecast];
  const ranged = answer.forecast.some((value) => rangeOf(value, answer.thresholds_mm_h));
  const head = [text("place.columnTime"), "UTC", text("place.columnKind"), text("place.columnRate", { unit: answer.unit }),
    ...(ranged ? [text("place.columnRange")] : []), ...(likely ? [text("place.columnChance")] : [])];
  const rows = values.map((value) => {
    const range = value.kind === "forecast" ? rangeOf(value, answer.thresholds_mm_h) : null;
    const chance = value.probability_of_rain;
    return make("tr", { class: value.kind },
      make("th", { scope: "row" }, clock(value.valid_time)),
      make("td", {}, clock(value.valid_time, { timeZone: "UTC" })),
      make("td", {}, text(value.kind === "observed" ? "place.observed" : "place.forecast")),
      make("td", {}, value.rain_rate === null ? text("place.noDataThen") : rateText(value.rain_rate)),
      ranged ? make("td", {}, range ? text("place.range", { low: number(range[0]), high: number(range[1]) }) : "") : null,
      likely ? make("td", {}, value.kind === "observed" ? "" : chance === null ? text("place.noDataThen") : text("place.percent", { percent: Math.round(100 * chance) })) : null);
  });
  return make("table", {}, make("thead", {}, make("tr", {}, ...head.map((title) => make("th", { scope: "col" }, title)))), make("tbody", {}, ...rows));
}
