// How sure are we, in words: what the members say of one place. A share of members is a multiple of one over their
// number, so that none of them is not "never", and all of them not "certainly".

import { clockUtc } from "./format.js";

const clock = (time) => `${clockUtc(time)} UTC`;
const LIKELY = 0.95;

export function percent(share, count) {
  const one = Math.round(100 / count);
  if (share === 0) return `less than ${one} %`;
  return share === 1 ? `more than ${100 - one} %` : `${Math.round(100 * share)} %`;
}

const between = ({ p10, p90 }) => (p10 === p90 ? `at about ${clock(p10)}` : `between ${clockUtc(p10)} and ${clock(p90)}`);

const period = (minutes) => (minutes === 60 ? "in the next hour" : `within ${Math.round(minutes)} min`);

function endOf({ end }, last) {
  if (end.probability === null) return "";
  if (end.probability === 0) return `lasts beyond ${clock(last)}`;
  if (end.probability < 0.5) return `probably lasts beyond ${clock(last)}`;
  return `ends ${between(end)}${end.probability < LIKELY ? ", or later" : ""}`;
}

// The chance of rain and the range of its start and end, as a sentence; "" where the members do not tell.
export function certainty({ members, summary, series }) {
  if (!members) return "";
  const { count, start, next_hour: hour } = members;
  const last = series[series.length - 1].valid_time;
  const end = endOf(members, last);
  if (summary.state === "raining") {
    const again = start.probability ? ` ${capital(percent(start.probability, count))} chance of more rain after it.` : "";
    return end && `Raining. It ${end}.${again}`;
  }
  const chance = hour.chances[0].probability;
  if (chance === null || start.probability === null) return "";
  if (start.probability === 0) return `${capital(percent(0, count))} chance of rain until ${clock(last)}.`;
  const later = start.probability > chance ? `, ${percent(start.probability, count)} until ${clock(last)}` : "";
  const condition = start.probability < LIKELY ? "If it rains, it" : "It";
  return `${capital(percent(chance, count))} chance of rain ${period(hour.within_minutes)}${later}. `
    + `${condition} starts ${between(start)}${end && `, and ${end}`}.`;
}

// Rows of a list beside the sentence: [what, how much].
export function details({ members, series, unit }) {
  if (!members) return [];
  const { count, next_hour: hour, total_mm: total } = members;
  const last = clock(series[series.length - 1].valid_time);
  const share = ({ probability }) => (probability === null ? "not known" : percent(probability, count));
  const chances = hour.chances.slice(1).map((item) => [`${item.threshold_mm_h} ${unit} or more ${period(hour.within_minutes)}`, share(item)]);
  return [...chances, [`Total until ${last}`, amount(total)]];
}

function amount({ p10, p50, p90 }) {
  if (p10 === null) return "not known";
  if (p90 < 0.05) return "none";
  const mm = (value) => (value < 10 ? value.toFixed(1) : String(Math.round(value)));
  return `${mm(p10)} to ${mm(p90)} mm (median ${mm(p50)})`;
}

// What the ranges are, as a note.
export const explanation = ({ members }) => (members
  ? `Of ${members.count} members. Ranges are from the 10th to the 90th percentile.`
  : "");

// Whether a time of the sentence lies beyond the longest lead time (minutes) that was scored.
export function isBeyondScored({ members, reference_time: reference }, scored) {
  if (!members || scored === null) return false;
  const lead = (time) => (new Date(time) - new Date(reference)) / 60000;
  return [members.start, members.end].some(({ p90 }) => p90 !== null && lead(p90) > scored);
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
