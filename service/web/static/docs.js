// Documentation of the API, made from openapi.json without anything from other hosts.

import { json } from "./api.js";
import { text as message } from "./messages.js";

const VERBS = ["get", "post", "put", "delete"];

function node(name, { text, ...attributes } = {}, ...children) {
  const element = Object.assign(document.createElement(name), attributes);
  if (text !== undefined) element.append(...inline(text));
  element.append(...children);
  return element;
}

// Descriptions are plain text, but for `code`.
const inline = (text) => text.split(/`([^`]*)`/).map((part, number) => {
  if (number % 2 === 0) return part;
  const code = document.createElement("code");
  code.textContent = part;
  return code;
});

function table(headings, rows) {
  const body = rows.map((cells) => node("tr", {}, ...cells.map((text) => node("td", { text: String(text ?? "") }))));
  return node("div", { className: "scroll-x", tabIndex: 0 }, node("table", {},
    node("thead", {}, node("tr", {}, ...headings.map((text) => node("th", { text })))), node("tbody", {}, ...body)));
}

function fieldsOf(operation) {
  const parameters = (operation.parameters || []).map((item) => [`\`${item.name}\``, item.in, item.description || ""]);
  const form = operation.requestBody?.content?.["multipart/form-data"]?.schema?.properties || {};
  const fields = Object.entries(form).map(([name, item]) => [`\`${name}\``, "form", item.description || ""]);
  return [...parameters, ...fields];
}

function route(path, verb, operation) {
  const fields = fieldsOf(operation);
  const responses = Object.entries(operation.responses).map(([code, item]) => [code, item.description]);
  return node("details", { className: "card route", id: operation.operationId },
    node("summary", {}, node("span", { className: "verb", text: verb.toUpperCase() }), node("code", { textContent: path }),
      node("span", { className: "name", text: operation.summary || "" })),
    node("p", { className: "lead", text: operation.description || "" }),
    ...(fields.length ? [table(["Field", "In", "Meaning"], fields)] : []),
    table(["Status", "Meaning"], responses));
}

const example = () => [
  `curl -H 'Prefer: wait=30' -F files=@radar.h5 -F steps=12 ${location.origin}/v1/nowcasts`,
  `curl -OJ '${location.origin}/v1/nowcasts/ID/result'`,
].join("\n");

try {
  const api = await json("openapi.json");
  const routes = Object.entries(api.paths).flatMap(([path, verbs]) =>
    VERBS.filter((verb) => verb in verbs).map((verb) => ({ path, verb, operation: verbs[verb] })));
  const main = document.getElementById("docs");
  main.lang = "en"; // as the service describes itself
  main.replaceChildren(
    node("h1", { text: `${api.info.title} ${api.info.version}` }),
    node("p", { className: "lead", text: api.info.description.trim().replace(/([^\n])\n(?!\n)/g, "$1 ") }),
    node("p", {}, node("a", { href: "openapi.json", textContent: "openapi.json" })),
    node("pre", { textContent: example(), tabIndex: 0 }),
    ...api.tags.flatMap((tag) => [
      node("h2", { textContent: tag.name }),
      node("p", { className: "hint", text: tag.description }),
      ...routes.filter(({ operation }) => operation.tags?.includes(tag.name))
        .map(({ path, verb, operation }) => route(path, verb, operation)),
    ]));
} catch (problem) {
  document.getElementById("docs").textContent = `${problem.title || message("docs.failed")}. ${problem.hint || ""}`;
}
