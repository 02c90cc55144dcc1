// Elements that the rooms of the operator's page share: tables that become cards on a phone, times, problems.

import { clock, date, number, text } from "../messages.js";

// An element with properties, attributes where a name begins with "aria-", "data-" or is "role", and children; null is left out.
export function node(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (key === "role" || key === "lang" || /^(aria|data)-/.test(key)) element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

// A table of `columns` (whose titles are the messages "operator.column.NAME") and `rows`: each a list of cells, or
// { cells, key, kind, below }; what has the focus keeps it where the row of its key moves. Roles are explicit, as a phone shows rows as cards, and styles of that take a table's own meaning
// from screen readers.
export function table(caption, columns, rows) {
  const titles = columns.map((name) => text(`operator.column.${name}`));
  const head = node("tr", { role: "row" }, ...titles.map((title, index) => node("th", { role: "columnheader", scope: "col", "data-column": columns[index] }, title)));
  const body = rows.flatMap((row) => {
    const { cells, key = null, kind = "", below = null } = Array.isArray(row) ? { cells: row } : row;
    const lines = [node("tr", { role: "row", className: kind, "data-key": key, tabIndex: key === null ? null : -1 }, ...cells.map((cell, index) =>
      node("td", { role: "cell", "data-column": columns[index], "data-label": titles[index] }, cell === "" ? "" : node("div", {}, ...[cell].flat()))))];
    if (below) lines.push(node("tr", { role: "row", className: `below ${kind}`, "data-key": key === null ? null : `${key} below`, tabIndex: key === null ? null : -1 }, node("td", { role: "cell", colSpan: columns.length }, below)));
    return lines;
  });
  return node("div", { className: "table" }, node("table", { role: "table" },
    node("caption", { className: "visually-hidden" }, caption),
    node("thead", { role: "rowgroup" }, head), node("tbody", { role: "rowgroup" }, ...body)));
}

export const button = (label, onclick, { kind = "quiet", about = null } = {}) =>
  node("button", { type: "button", className: `button ${kind}`, onclick, "aria-label": about }, label);

// Text that the service writes is English.
export const served = (words) => node("span", { lang: "en" }, words);

// "14:05", on another day "30 Nov 14:05", with its year where that is another; with UTC where it is asked for.
export function time(iso, { utc = false } = {}) {
  if (!iso) return text("operator.never");
  const when = new Date(iso);
  const now = new Date();
  const year = when.getFullYear() === now.getFullYear() ? undefined : "numeric";
  const today = when.toDateString() === now.toDateString();
  const local = today ? clock(when) : `${date(when, { day: "numeric", month: "short", year })} ${clock(when)}`;
  const shown = node("time", { dateTime: iso }, local);
  const quiet = utc ? node("span", { className: "quiet" }, ` (${clock(when, { timeZone: "UTC" })} UTC)`) : null;
  return node("span", { className: "when" }, shown, quiet);
}

export const day = (iso) => (iso ? date(iso, { day: "numeric", month: "short", year: "numeric" }) : text("operator.never"));

// A duration in the unit in which people say it.
export function duration(seconds) {
  const [unit, value] = seconds < 100 ? ["seconds", seconds] : seconds < 6000 ? ["minutes", seconds / 60] : seconds < 172800 ? ["hours", seconds / 3600] : ["days", seconds / 86400];
  return text(`operator.duration.${unit}`, { value: number(value, { maximumFractionDigits: value < 10 && unit !== "minutes" ? 1 : 0 }) });
}

export function problemCard(problem) {
  return node("div", { className: "problem", role: "alert", lang: "en" },
    node("strong", {}, problem.title ?? String(problem)),
    problem.detail ? node("p", {}, problem.what || problem.detail) : null,
    problem.hint ? node("p", { className: "hint" }, problem.hint) : null);
}

export const empty = (words, what) => node("div", { className: "empty" }, node("p", {}, words), what ? node("p", { className: "hint" }, ...[what].flat()) : null);

// Replaces the content of a room, unless it is the same: so neither the focus nor an opened detail is lost for nothing.
export function fill(room, ...children) {
  const made = node("div", {}, ...children);
  if (room.innerHTML === made.innerHTML) return;
  const focused = room.contains(document.activeElement) ? whereabouts(room, document.activeElement) : null;
  const opened = new Set([...room.querySelectorAll("details[open][data-name]")].map((each) => each.dataset.name));
  room.replaceChildren(...made.childNodes);
  room.querySelectorAll("details[data-name]").forEach((each) => { each.open = opened.has(each.dataset.name); });
  if (focused) found(room, focused)?.focus({ preventScroll: true });
}

// Where an element is: the row of a key, or else the room, and the way from there.
function whereabouts(room, element) {
  const row = element.closest("[data-key]");
  const path = [];
  for (let at = element; at !== (row ?? room); at = at.parentElement) path.unshift([...at.parentElement.children].indexOf(at));
  return { key: row?.dataset.key, path, name: element.tagName };
}

// What is there now; where it is gone, its row, else the section: never the same place in another row.
function found(room, { key, path, name }) {
  const row = [...room.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
  const element = key === undefined || row ? path.reduce((at, index) => at?.children[index], row ?? room) : null;
  return element?.tagName === name ? element : row ?? room.closest("section");
}
