// API keys: who has one, for what and until when; a new one is shown once.

import { json } from "../api.js";
import { text } from "../messages.js";
import { confirm, openDialog } from "./dialog.js";
import { button, day, empty, fill, node, problemCard, table, time } from "./elements.js";

const SCOPES = ["read", "nowcast", "admin"];
const DAYS = [30, 90, 365, 0];

export function drawKeys(room, keys, operator, refresh) {
  const columns = ["client", "scopes", "state", "created", "expires", "lastUsed", "actions"];
  fill(room,
    operator.may_change ? node("p", { className: "actions beside" }, button(text("operator.newKey"), () => create(refresh))) : null,
    keys.length
      ? table(text("operator.keys"), columns, keys.map((key) => row(key, operator, refresh)))
      : empty(text("operator.noKeys"), [text("operator.noKeysHint"), " ", node("code", { translate: false }, "echocast keys create NAME --scope admin")]));
}

function row(key, operator, refresh) {
  const valid = key.state === "valid";
  return {
    key: key.id,
    kind: valid ? "" : "past",
    cells: [
      [node("strong", {}, key.client), " ", node("code", { className: "quiet" }, key.id), key.id === operator.key_id ? node("span", { className: "tag own" }, text("operator.yourKey")) : ""],
      key.scopes.map((scope) => node("span", { className: "tag" }, scope)),
      node("span", { className: `state ${valid ? "good" : "warn"}` }, text(`operator.key.${key.state}`)),
      day(key.created),
      key.expires ? day(key.expires) : text("operator.neverExpires"),
      key.last_used ? time(key.last_used) : text("operator.never"),
      valid && operator.may_change ? button(text("operator.revoke"), () => revoke(key, operator, refresh), { about: text("operator.revokeKey", { id: key.id, client: key.client }) }) : "",
    ],
  };
}

async function revoke(key, operator, refresh) {
  await confirm({
    title: text("operator.revokeKey", { id: key.id, client: key.client }),
    about: text(key.id === operator.key_id ? "operator.revokeOwn" : "operator.revokeAbout"),
    label: text("operator.revoke"),
    danger: true,
    act: () => json(`v1/keys/${encodeURIComponent(key.id)}`, { method: "DELETE" }),
  });
  refresh();
}

async function create(refresh) {
  await openDialog(text("operator.newKey"), (close) => {
    const outcome = node("div", {});
    const client = node("input", { id: "key-client", required: true, maxLength: 63, pattern: "[a-z0-9][a-z0-9._\\-]*", autocomplete: "off", spellcheck: false, placeholder: "flood-duty", "aria-describedby": "key-client-hint" });
    const scopes = SCOPES.map((scope) => node("input", { type: "checkbox", id: `scope-${scope}`, value: scope, checked: scope !== "admin", "aria-describedby": `scope-${scope}-hint` }));
    const days = node("select", { id: "key-days" }, ...DAYS.map((count) => node("option", { value: count, selected: count === 365 }, count ? text("operator.days", { count }) : text("operator.neverExpires"))));
    const go = node("button", { className: "button primary" }, text("operator.createKey"));
    const form = node("form", { method: "dialog" },
      node("p", { className: "field" }, node("label", { htmlFor: "key-client" }, text("operator.keyClient")), client, node("span", { className: "hint", id: "key-client-hint" }, text("operator.keyClientHint"))),
      node("fieldset", { className: "checks" }, node("legend", {}, text("operator.keyScopes")), ...scopes.map((box) => node("p", { className: "check" },
        box, node("label", { htmlFor: box.id }, box.value), node("span", { className: "hint", id: `${box.id}-hint` }, text(`operator.scope.${box.value}`))))),
      node("p", { className: "field" }, node("label", { htmlFor: "key-days" }, text("operator.keyDays")), days),
      outcome, node("p", { className: "actions" }, go, button(text("operator.close"), () => close())));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const granted = scopes.filter((box) => box.checked).map((box) => box.value);
      if (!granted.length) {
        outcome.replaceChildren(node("p", { className: "problem", role: "alert" }, text("operator.scopeMissing")));
        return;
      }
      go.disabled = true;
      try {
        const made = await json("v1/keys", {
          method: "POST", headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ client: client.value.trim(), scopes: granted, days: Number(days.value) }),
        });
        form.replaceWith(shown(made, close));
        refresh();
      } catch (problem) {
        outcome.replaceChildren(problemCard(problem));
        go.disabled = false;
      }
    });
    return form;
  });
}

function shown(made, close) {
  const secret = node("input", { id: "new-key", readOnly: true, value: made.key, spellcheck: false, className: "secret", onfocus: () => secret.select() });
  const copied = node("span", { className: "hint", role: "status" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(made.key);
      copied.textContent = text("operator.copied");
    } catch { // pages without TLS have no clipboard
      secret.select();
      copied.textContent = text("operator.copyYourself");
    }
  };
  const card = node("div", { className: "made" },
    node("p", { role: "status" }, text("operator.keyMade", { client: made.client })),
    node("p", { className: "field" }, node("label", { htmlFor: "new-key" }, text("operator.keySecret")), secret),
    node("p", { className: "actions" }, button(text("operator.copy"), copy, { kind: "primary" }), button(text("operator.close"), () => close()), copied));
  setTimeout(() => secret.focus());
  return card;
}
