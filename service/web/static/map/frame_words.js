// What is said of a frame: whether it is observed or forecast, when it is valid, and how far that is from now.

import { clock, date, number, text } from "../messages.js";
import { spanOf, titleOf } from "./layer_title.js";

const minutesBetween = (time, now) => Math.round((new Date(time) - now) / 60000);

// Whether a frame lies beyond the longest lead time that the model's scores cover.
export const isBeyondScored = (frame, { scored_lead_minutes: scored }) =>
  scored !== null && frame.kind === "forecast" && frame.lead_minutes > scored;

// "Forecast, +30 min", "Observed".
export function kindOf(frame, source) {
  if (frame.kind === "observed") return text(frame.id === source.newest()?.id ? "time.observedNewest" : "time.observed");
  const values = { minutes: number(frame.lead_minutes, { maximumFractionDigits: 1 }) };
  return text(isBeyondScored(frame, source) ? "time.forecastUnscored" : "time.forecast", values);
}

// "in 12 min", "7 min ago", "now"; "" of an upload, whose clock stands.
export function fromNow(frame, source) {
  if (!source.isLive) return "";
  const minutes = minutesBetween(frame.valid_time, source.now());
  if (minutes === 0) return text("time.now");
  return minutes > 0 ? text("time.in", { minutes }) : text("time.ago", { minutes: -minutes });
}

const dayOf = (iso, options = {}) => date(iso, { weekday: "short", day: "numeric", month: "short", ...options });

// The local time of a frame, with its zone; the day where it is not today.
export function localTime(iso) {
  const isToday = new Date(iso).toDateString() === new Date().toDateString();
  const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" }).formatToParts(new Date(iso)).find(({ type }) => type === "timeZoneName").value;
  return { clock: clock(iso), zone, day: isToday ? "" : dayOf(iso) };
}

// The same time in UTC, with the day where that is another one there.
export function utcTime(iso) {
  const sameDay = new Date(iso).getDate() === new Date(iso).getUTCDate();
  const day = sameDay ? "" : `${dayOf(iso, { timeZone: "UTC" })} `;
  return `${day}${clock(iso, { timeZone: "UTC" })} UTC`;
}

// A frame in one sentence, for those who do not see the bar; of a layer that is one picture of some time, that time.
export function sentenceOf(frame, source, layer) {
  if (layer.start) return `${titleOf(layer)}, ${spanOf(layer)}`;
  const { clock: at, zone, day } = localTime(frame.valid_time);
  return [kindOf(frame, source), `${at} ${zone}`, day, fromNow(frame, source)].filter(Boolean).join(", ");
}
