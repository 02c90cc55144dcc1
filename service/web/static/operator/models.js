// The champion and how it became one, and every version with its scores; promote and roll back.

import { json } from "../api.js";
import { number, text } from "../messages.js";
import { confirm } from "./dialog.js";
import { button, empty, fill, node, table, time } from "./elements.js";
import { promote } from "./promotion.js";

const HEADLINE_MM_H = 2;

export function drawModels(room, { models, champion, feeds, mayChange }, refresh) {
  const packages = models.filter((model) => model.kind === "network");
  const columns = ["model", "aliases", "leads", "scores", "actions"];
  fill(room, present(champion, mayChange, refresh),
    packages.length
      ? table(text("operator.models"), columns, packages.map((model) => row(model, { champion, feeds, mayChange }, refresh)))
      : empty(text("operator.noModels")),
    history(champion.history));
}

function present(champion, mayChange, refresh) {
  const words = champion.champion
    ? text("operator.championIs", { model: champion.champion })
    : text("operator.noChampion", { model: champion.runs });
  const newest = champion.history[0];
  return node("div", { className: "present" },
    node("p", {}, node("strong", {}, words), ...(newest && champion.champion ? [` ${text("operator.since")} `, time(newest.when)] : [])),
    champion.note ? node("p", { className: "reason", lang: "en" }, champion.note) : null,
    mayChange && champion.before ? node("p", { className: "actions" }, button(text("operator.rollBack"), () => rollBack(champion, refresh), { kind: "quiet" })) : null);
}

async function rollBack(champion, refresh) {
  const [name, version] = champion.champion.split("@");
  await confirm({
    title: text("operator.rollBackTitle", { model: champion.champion }),
    about: champion.before.includes("@") ? text("operator.rollBackTo", { model: champion.before }) : text("operator.rollBackToDefault"),
    label: text("operator.rollBack"),
    danger: true,
    reason: "optional",
    act: (reason) => json(`v1/models/${encodeURIComponent(name)}/rollback`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ version, reason }),
    }),
  });
  refresh();
}

function row(model, { champion, feeds, mayChange }, refresh) {
  const reference = `${model.name}@${model.version}`;
  const isChampion = reference === champion.champion;
  const aliases = [...model.aliases, ...(model.default && !isChampion ? ["auto"] : [])];
  const promotable = mayChange && !isChampion && model.data === "rain";
  return {
    key: reference,
    cells: [
      node("strong", {}, reference),
      aliases.length ? aliases.map((alias) => node("span", { className: "tag" }, alias)) : "",
      model.scored_lead_minutes === null ? text("operator.leads", { minutes: model.max_lead_minutes }) : text("operator.leadsScored", { minutes: model.max_lead_minutes, scored: model.scored_lead_minutes }),
      scores(model),
      promotable ? button(text("operator.promote"), () => promote(model, feeds, refresh), { about: text("operator.promoteModel", { model: reference }) }) : "",
    ],
    below: node("p", { className: "hint", lang: "en" }, model.summary),
  };
}

// The scores of its package: one figure beside extrapolation's, and all of them on the page of skill.
function scores({ name, version, scores: found }) {
  if (!found.length) return text("operator.noScores");
  const reference = `${name}@${version}`;
  const csi = (model, like) => found.find((score) => score.metric === `csi of ${model}, mean over leads` && (like
    ? score.data === like.data && score.threshold_mm_h === like.threshold_mm_h
    : score.threshold_mm_h === HEADLINE_MM_H));
  const own = csi(reference);
  const other = own && csi("extrapolation@1", own);
  const digits = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  const link = node("a", { href: `skill?model=${encodeURIComponent(reference)}`, "aria-label": text("operator.scoresOf", { model: reference }) },
    text("operator.scoreCount", { count: found.length }));
  return other
    ? [text("operator.csi", { value: number(own.value, digits), threshold: own.threshold_mm_h, other: number(other.value, digits) }), node("span", { className: "second" }, link)]
    : link;
}

function history(changes) {
  if (!changes.length) return null;
  const columns = ["when", "change", "by", "reason"];
  const name = (model) => model ?? text("operator.withoutChampion");
  return node("details", { "data-name": "history" }, node("summary", {}, text("operator.history")),
    table(text("operator.history"), columns, changes.map((change) => [
      time(change.when),
      text(change.forced ? "operator.forced" : change.action === "promote" ? "operator.promoted" : "operator.rolledBack", { before: name(change.before), after: name(change.after) }),
      change.by,
      change.reason,
    ])));
}
