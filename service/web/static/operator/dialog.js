// Questions in a dialog: nothing is changed without one.

import { text } from "../messages.js";
import { button, node, problemCard } from "./elements.js";

// Opens a dialog with what `content(close)` returns; resolves once it is closed.
export function openDialog(title, content) {
  return new Promise((resolve) => {
    const heading = node("h2", { id: "dialog-title" }, title);
    const dialog = node("dialog", { className: "card dialog", "aria-labelledby": "dialog-title" }, heading);
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue); });
    dialog.append(...[content((value = "") => dialog.close(value))].flat());
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Asks whether to do something, and does it by `act(reason)`; an error stays in the dialog, which then can be closed.
// `reason`: null: none is asked for; "optional" or "required".
export function confirm({ title, about, act, label, danger = false, reason = null }) {
  return openDialog(title, (close) => {
    const outcome = node("div", {});
    const input = reason && node("input", { id: "reason", maxLength: 500, autocomplete: "off", required: reason === "required" });
    const go = node("button", { className: `button ${danger ? "danger" : "primary"}` }, label);
    const form = node("form", { method: "dialog" },
      ...[about].flat().map((words) => (typeof words === "string" ? node("p", {}, words) : words)),
      input && node("p", { className: "field" }, node("label", { htmlFor: "reason" }, text(reason === "required" ? "operator.reasonNeeded" : "operator.reason")), input),
      outcome, node("p", { className: "actions" }, go, button(text("operator.cancel"), () => close())));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (go.disabled) return;
      go.disabled = true;
      try {
        await act(input ? input.value.trim() : "");
        close("done");
      } catch (problem) {
        outcome.replaceChildren(problemCard(problem));
        go.disabled = false;
      }
    });
    return form;
  });
}
