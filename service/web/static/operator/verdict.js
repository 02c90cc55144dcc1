// Is everything all right? One line, and what is not, the worst first.

import { text } from "../messages.js";
import { node, served, time } from "./elements.js";

const LEVELS = ["bad", "warn", "good"];
const MARKS = { bad: "✕", warn: "!", good: "✓" };
const STATUS_LEVEL = { ok: "good", partial: "warn", delayed: "warn", unavailable: "bad" };

export const levelOf = (status) => STATUS_LEVEL[status] ?? "warn";

// What is wrong by the service's own overview: { level, words, reason }, the worst first.
export function troubles(overview, champion) {
  const found = [];
  for (const part of overview.parts) {
    if (part.state !== "ok") found.push({ level: "bad", words: text(`operator.part.${part.name}`), reason: part.detail });
  }
  for (const { feed, problem } of overview.feeds) {
    const level = levelOf(feed.status);
    if (level !== "good") found.push({ level, words: `${feed.name}: ${text(`operator.status.${feed.status}`)}`, reason: feed.reason });
    else if (problem) found.push({ level: "warn", words: feed.name, reason: problem.what });
  }
  for (const problem of overview.configuration) found.push({ level: "warn", words: problem.where, reason: `${problem.what}. ${problem.hint}` });
  if (champion?.note) found.push({ level: "warn", words: text("operator.champion"), reason: champion.note });
  return found.sort((one, other) => LEVELS.indexOf(one.level) - LEVELS.indexOf(other.level));
}

export function drawVerdict(room, overview, champion, { connected, since }) {
  const found = troubles(overview, champion);
  if (!connected) found.unshift({ level: "bad", words: text("operator.noContact"), since });
  const level = found[0]?.level ?? "good";
  const line = found.length ? text("operator.problems", { count: found.length }) : text(overview.feeds.length ? "operator.allRight" : "operator.ready");
  const { waiting, running } = overview.queue;
  const counts = [text("operator.feedCount", { count: overview.feeds.length }), text("operator.queue", { waiting, running })].join(" · ");
  room.hidden = false;
  room.className = `verdict card ${level}`;
  const list = found.map((each) => node("li", { className: each.level }, node("strong", {}, each.words), " ", each.since ? time(each.since) : served(each.reason)));
  const made = [
    node("p", { className: "line" }, node("span", { className: "mark", "aria-hidden": "true" }, MARKS[level]), node("strong", {}, line), node("span", { className: "quiet" }, counts)),
    list.length ? node("ul", {}, ...list) : null,
    node("p", { className: "hint", "aria-live": "off" }, text("operator.asOf"), " ", time(since)),
  ];
  // What has not changed is not read out again.
  const said = made.slice(0, 2).map((each) => each?.outerHTML).join("");
  if (room.dataset.said === said) room.lastElementChild.replaceWith(made[2]);
  else room.replaceChildren(...made.filter(Boolean));
  room.dataset.said = said;
  document.title = `${level === "good" ? "" : `(${found.length}) `}${text("operator.pageTitle")}`;
}
