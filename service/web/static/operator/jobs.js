// Nowcasts of all clients and feeds, the newest first: what runs, what failed and why, and a way to cancel.

import { json } from "../api.js";
import { number, text } from "../messages.js";
import { confirm } from "./dialog.js";
import { button, duration, empty, fill, node, served, table, time } from "./elements.js";

const FILTERS = { all: [], unfinished: ["accepted", "running"], failed: ["failed"], successful: ["successful"], dismissed: ["dismissed"] };
const AT_A_TIME = 15;

// Returns what loads the list anew.
export function jobList(room) {
  const chosen = { filter: "all", pages: 1, mayChange: false };
  const list = node("div", {});
  const select = node("select", { id: "job-filter", onchange: () => { Object.assign(chosen, { filter: select.value, pages: 1 }); load(); } },
    ...Object.keys(FILTERS).map((name) => node("option", { value: name }, text(`operator.filter.${name}`))));
  room.append(node("p", { className: "field beside" }, node("label", { htmlFor: "job-filter" }, text("operator.show")), select), list);

  async function load(mayChange = chosen.mayChange, signal = undefined) {
    chosen.mayChange = mayChange;
    const query = new URLSearchParams([["limit", String(AT_A_TIME * chosen.pages)], ...FILTERS[chosen.filter].map((status) => ["status", status])]);
    const { nowcasts, links } = await json(`v1/nowcasts?${query}`, { signal });
    const more = links.some((link) => link.rel === "next") && AT_A_TIME * (chosen.pages + 1) <= 200;
    if (!nowcasts.length) {
      fill(list, chosen.filter === "all" ? empty(text("operator.noNowcasts"), text("operator.noNowcastsHint")) : empty(text("operator.noneSuch")));
      return;
    }
    const columns = ["status", "of", "requested", "model", "took", "actions"];
    fill(list, table(text("operator.nowcasts"), columns, nowcasts.map((job) => row(job, mayChange, load))),
      more ? node("p", { className: "actions" }, button(text("operator.older"), () => { chosen.pages += 1; load(); })) : null);
  }
  return load;
}

const LEVELS = { failed: "bad", dismissed: "warn", successful: "good", running: "busy", accepted: "busy" };

function row(job, mayChange, load) {
  const finished = Boolean(job.finished);
  const progress = job.status === "running" ? ` ${number(job.progress.done)}/${number(job.progress.total)}` : "";
  const took = finished && job.started ? duration((new Date(job.finished) - new Date(job.started)) / 1000) : "–";
  const reason = job.problem ? `${job.problem.what}. ${job.problem.hint}` : job.note;
  return {
    key: job.id,
    kind: job.status === "failed" ? "bad" : "",
    cells: [
      node("span", { className: `state ${LEVELS[job.status]}` }, text(`operator.job.${job.status}`) + progress),
      job.feed ? text("operator.ofFeed", { feed: job.feed }) : job.client === "anonymous" ? text("operator.anybody") : job.client,
      time(job.created),
      job.model_used ?? job.model_asked,
      took,
      action(job, mayChange, load),
    ],
    below: reason ? node("p", { className: "reason" }, served(reason), " ", node("code", { className: "quiet" }, job.id.slice(0, 8))) : null,
  };
}

function action(job, mayChange, load) {
  const id = job.id.slice(0, 8);
  if (job.status === "successful") {
    return node("a", { href: `./?nowcast=${encodeURIComponent(job.id)}`, "aria-label": text("operator.openNowcast", { id }) }, text("operator.open"));
  }
  return job.finished || !mayChange ? "" : button(text("operator.cancelJob"), () => cancel(job, load), { about: text("operator.cancelNowcast", { id }) });
}

async function cancel(job, load) {
  await confirm({
    title: text("operator.cancelNowcast", { id: job.id.slice(0, 8) }),
    about: text("operator.cancelAbout"),
    label: text("operator.cancelJob"),
    danger: true,
    act: () => json(`v1/nowcasts/${encodeURIComponent(job.id)}`, { method: "DELETE" }),
  });
  await load();
}
