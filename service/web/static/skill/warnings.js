// The warnings of a feed's rules against what was observed, and the limits that would have been best.

import { number, text } from "../messages.js";
import { paragraph, table } from "./tables.js";
import { ofHundred, rate } from "./words.js";

const percent = (share) => number(share, { style: "percent", maximumFractionDigits: 0 });
const decimals = (value) => number(value, { maximumFractionDigits: 2 });

export function drawWarnings(box, { rules }) {
  if (!rules.length) {
    box.replaceChildren(paragraph(text("skill.noRules"), "hint"));
    return;
  }
  const heads = ["rule", "starts", "inTime", "late", "missed", "falseAlarms", "onsetError"].map((name) => text(`skill.column.${name}`));
  const rows = rules.map((rule) => [
    ruleCell(rule),
    number(rule.starts),
    of(rule.hits, rule.starts),
    of(rule.late, rule.starts),
    of(rule.misses, rule.starts),
    of(rule.false_alarms, rule.warnings),
    onset(rule),
  ]);
  const found = table(text("skill.warningsCaption"), heads, rows);
  found.className = "cards";
  const limits = rules.filter((rule) => rule.suggested_probability).map(suggestion);
  box.replaceChildren(found, ...limits);
}

function onset({ onset_error_minutes: mean, onset_absolute_error_minutes: size }) {
  if (mean === null) return text("skill.none");
  const minutes = Math.round(Math.abs(mean));
  const key = !minutes ? "skill.onsetRight" : mean < 0 ? "skill.onsetEarly" : "skill.onsetLate";
  return text(key, { minutes, size: Math.round(size) });
}

const of = (part, whole) => (whole ? text("skill.of", { part: number(part), whole: number(whole) }) : text("skill.none"));

function ruleCell(rule) {
  const cell = document.createElement("span");
  const name = document.createElement("strong");
  name.textContent = rule.rule;
  const about = paragraph(text(`skill.watches.${rule.watches}`, { threshold: rate(rule.threshold_mm_h), within: number(rule.within_minutes) }), "hint");
  cell.append(name, about);
  if (!rule.enough) cell.append(paragraph(text("skill.tooFewStarts", { count: rule.starts }), "hint"));
  if (rule.truth === "gauge") cell.append(paragraph(text("skill.byGauge"), "hint"));
  return cell;
}

// Which limit of a rule's probability would have been best, and whether it is better than the rule's own.
function suggestion({ rule, suggested_probability: found }) {
  const { probability, suggested, present, gain } = found;
  const cases = { starts: text("skill.starts", { count: found.starts }), days: text("skill.inDays", { count: found.days }) };
  if (probability.value === null) return paragraph(text("skill.noLimit", { rule, ...cases }), "limit");
  const score = found.best_for === "csi" ? ofHundred : decimals;
  const range = probability.low === probability.high ? percent(probability.low) : text("skill.to", { low: percent(probability.low), high: percent(probability.high) });
  const sentence = text(`skill.limit.${found.best_for}`, {
    rule, value: percent(probability.value), range, suggested: score(suggested.value), present: score(present.value), ...cases,
  });
  const certain = gain.low !== null && gain.low > 0;
  return paragraph(`${sentence} ${text(certain ? "skill.limitBetter" : "skill.limitNotTold")}`, "limit");
}
