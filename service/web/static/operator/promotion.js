// A promotion: the gates first, in their own words; then the question whether to promote.

import { json } from "../api.js";
import { number, text } from "../messages.js";
import { openDialog } from "./dialog.js";
import { button, node, problemCard, table } from "./elements.js";

const WINDOWS_HOURS = [24, 72, 168, 744];
const RESULTS = { true: "pass", false: "fail", null: "inconclusive" };
const LEVELS = { pass: "good", fail: "bad", inconclusive: "warn" };

export async function promote(model, feeds, refresh) {
  const reference = `${model.name}@${model.version}`;
  const done = await openDialog(text("operator.promoteModel", { model: reference }), (close) => {
    if (!feeds.length) return [node("p", {}, text("operator.promoteNeedsFeed")), node("p", { className: "actions" }, button(text("operator.close"), () => close()))];
    const feed = choice("promotion-feed", feeds.map((name) => [name, name]), feeds[0]);
    const hours = choice("promotion-window", WINDOWS_HOURS.map((each) => [String(each), text("operator.days", { count: each / 24 })]), "168");
    const outcome = node("div", { className: "outcome", role: "status", "aria-live": "polite" });
    const evaluate = node("button", { className: "button primary" }, text("operator.checkGates"));
    const form = node("form", { method: "dialog" }, node("p", {}, text("operator.promoteAbout")),
      node("div", { className: "pair" }, field("promotion-feed", "operator.byFeed", feed), field("promotion-window", "operator.window", hours)),
      node("p", { className: "actions" }, evaluate, button(text("operator.cancel"), () => close())), outcome);
    const send = (more) => json(`v1/models/${encodeURIComponent(model.name)}/promote`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ version: model.version, feed: feed.value, window_hours: Number(hours.value), ...more }),
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      evaluate.disabled = true;
      outcome.replaceChildren(node("p", { className: "hint" }, text("operator.evaluating")));
      try {
        const result = await send({ dry_run: true });
        outcome.replaceChildren(gates(result), decision(result, send, close));
      } catch (problem) {
        outcome.replaceChildren(problemCard(problem));
      }
      evaluate.disabled = false;
    });
    feed.onchange = hours.onchange = () => outcome.replaceChildren(); // the gates are of another comparison
    return form;
  });
  if (done) refresh();
}

function choice(id, options, value) {
  const select = node("select", { id }, ...options.map(([key, label]) => node("option", { value: key }, label)));
  select.value = value;
  return select;
}

const field = (id, label, input) => node("p", { className: "field" }, node("label", { htmlFor: id }, text(label)), input);

function gates(result) {
  const columns = ["gate", "result", "difference", "note"];
  return node("div", { lang: "en" }, table(`${result.model} beside ${result.compared_with}, ${result.protocol}`, columns, result.gates.map((gate) => {
    const name = RESULTS[gate.passed];
    return [gate.what, node("span", { className: `state ${LEVELS[name]}` }, text(`operator.gate.${name}`)), figure(gate), gate.note];
  })));
}

function figure({ value, low, high }) {
  if (value === null) return "–";
  const signed = (each) => number(each, { signDisplay: "always", minimumFractionDigits: 3, maximumFractionDigits: 3 });
  return low === null ? signed(value) : `${signed(value)} [${signed(low)}, ${signed(high)}]`;
}

// Promote it; where a gate refuses, only with a reason, and in so many words.
function decision(result, send, close) {
  const refused = Boolean(result.refusal);
  const reason = node("input", { id: "promotion-reason", maxLength: 500, autocomplete: "off" });
  const outcome = node("div", {});
  const go = node("button", { type: "button", className: `button ${refused ? "danger" : "primary"}` },
    text(refused ? "operator.promoteAnyway" : "operator.promoteNow", { model: result.model }));
  go.onclick = async () => {
    if (refused && !reason.value.trim()) {
      outcome.replaceChildren(node("p", { className: "problem", role: "alert" }, text("operator.reasonMissing")));
      reason.focus();
      return;
    }
    go.disabled = true;
    try {
      await send({ force: refused, reason: reason.value.trim() });
      close("done");
    } catch (problem) {
      outcome.replaceChildren(problemCard(problem));
      go.disabled = false;
    }
  };
  return node("div", { className: "decision" },
    refused ? node("p", { className: "reason", lang: "en" }, result.refusal) : node("p", {}, node("strong", {}, text("operator.gatesPass"))),
    result.gates.length ? field("promotion-reason", refused ? "operator.reasonNeeded" : "operator.reason", reason) : null,
    outcome, result.gates.length ? node("p", { className: "actions" }, go) : null);
}
