// The feeds, the worst first: how they do, how far behind they are, and what went wrong lately.

import { json } from "../api.js";
import { text } from "../messages.js";
import { duration, empty, fill, node, problemCard, served, table, time } from "./elements.js";
import { levelOf } from "./verdict.js";

const ORDER = ["bad", "warn", "good"];

export function drawFeeds(room, overview, refresh) {
  if (!overview.feeds.length) {
    fill(room, empty(text("operator.noFeeds"), [text("operator.noFeedsHint"), " ", node("code", { translate: false }, "[[feed]]")]));
    return;
  }
  const rows = [...overview.feeds].sort((one, other) => rank(one) - rank(other) || (one.feed.name < other.feed.name ? -1 : 1));
  const columns = ["status", "feed", "newestFrame", "nowcast", "lag", "lately", "actions"];
  fill(room, table(text("operator.feeds"), columns, rows.map((each) => row(each, overview.operator.may_change, refresh))));
  attach(room, refresh);
}

const second = (words) => node("span", { className: "second" }, words);
const rank = ({ feed }) => ORDER.indexOf(levelOf(feed.status));

function row(watched, mayChange) {
  const { feed, lag_seconds: lag, rejected_files: rejected, failed_runs: failed } = watched;
  const level = levelOf(feed.status);
  const lately = [
    rejected ? text("operator.rejected", { count: rejected }) : "",
    failed ? text("operator.failedRuns", { count: failed }) : "",
  ].filter(Boolean).join(", ");
  return {
    key: feed.name,
    kind: level,
    cells: [
      node("span", { className: `state ${level}` }, text(`operator.status.${feed.status}`)),
      [node("a", { href: `./?feed=${encodeURIComponent(feed.name)}` }, feed.name), second(text(`operator.source.${watched.source.replace(" ", "-")}`))],
      feed.newest_frame ? [time(feed.newest_frame, { utc: true }), second(text("operator.age", { age: duration(60 * feed.age_minutes) }))] : text("operator.noFrame"),
      feed.latest ? [time(feed.latest.reference_time), second(feed.latest.model_used ?? feed.model)] : text("operator.none"),
      lag === null ? text("operator.unknown") : duration(lag),
      lately || text("operator.nothing"),
      mayChange ? node("button", { type: "button", className: "button quiet", "data-scan": feed.name, "aria-label": text("operator.scanFeed", { feed: feed.name }) }, text("operator.scan")) : "",
    ],
    below: below(watched, mayChange),
  };
}

function below({ feed, problem, last_scan: lastScan, troubles }, mayChange) {
  const parts = [
    feed.reason ? node("p", { className: "reason" }, served(feed.reason)) : null,
    problem && !feed.reason.includes(problem.what) ? node("p", { className: "reason" }, served(`${problem.what}. ${problem.hint}`)) : null,
  ];
  if (troubles.length) {
    const list = troubles.map((each) => node("li", {}, time(each.when), ` ${text(`operator.trouble.${each.kind}`)} `, node("code", {}, each.name), " ", served(each.reason),
      mayChange && each.kind === "failed" ? [" ", node("button", { type: "button", className: "button quiet small", "data-repeat": `${feed.name}/runs/${each.name}`, "aria-label": text("operator.repeatRun", { feed: feed.name, time: each.name }) }, text("operator.repeat"))] : []));
    parts.push(node("details", { "data-name": feed.name }, node("summary", {}, text("operator.lastTroubles", { count: troubles.length })), node("ul", {}, ...list),
      node("p", { className: "hint" }, text("operator.lastScan"), " ", time(lastScan))));
  }
  const shown = parts.filter(Boolean);
  return shown.length ? node("div", {}, ...shown) : null;
}

function attach(room, refresh) {
  room.onclick = async (event) => {
    const asked = event.target.closest("[data-scan], [data-repeat]");
    if (!asked) return;
    const { scan, repeat } = asked.dataset;
    asked.disabled = true;
    try {
      const answer = await json(scan ? `v1/feeds/${encodeURIComponent(scan)}/scan` : `v1/feeds/${repeat}/repeat`, { method: "POST" });
      asked.textContent = text(answer.asked === false ? "operator.scanLater" : "operator.asked");
    } catch (problem) {
      asked.after(problemCard(problem));
    }
    setTimeout(refresh, 1500);
  };
}
