// The header of every page: its tabs, the language, and the key of this tab.

import "./app.js";
import { node } from "./dom.js";
import { icon } from "./icons.js";
import { forgetKey, key, onKey } from "./key.js";
import { apply } from "./messages.js";

// The pages, by the name that each has in `data-page` of its header. Relative: the service may lie below a path.
const TABS = [
  { page: "live", href: "./", message: "header.live" },
  { page: "upload", href: "upload", message: "header.upload" },
  { page: "skill", href: "skill", message: "header.skill" },
  { page: "operator", href: "operator", message: "header.operator" },
  { page: "api", href: "docs", message: "header.api" },
];

function marked(element, name, message) {
  element.dataset[name] = message;
  return element;
}

const header = document.getElementById("header");
const logo = node("img", { src: new URL("icon.svg", import.meta.url).href, alt: "", width: 28, height: 28 });
const tabs = TABS.map(({ page, href, message }) => {
  const link = marked(node("a", { href }), "message", message);
  if (page === header.dataset.page) link.setAttribute("aria-current", "page");
  return link;
});
const forget = marked(node("button", { type: "button", className: "button quiet", id: "forget-key", onclick: forgetKey },
  icon("key"), marked(node("span"), "message", "header.forgetKey")), "messageLabel", "header.forgetKey");
const languages = marked(node("select", {}), "messageLabel", "header.language");
languages.dataset.languages = "";
header.append(
  node("a", { className: "brand", href: "./", id: "home", ariaLabel: "Echocast" }, logo, node("span", { textContent: "Echocast" })),
  marked(node("nav", { className: "tabs" }, ...tabs), "messageLabel", "header.pages"),
  node("div", { className: "top-end" }, forget, languages),
);
apply(header);

const showForget = () => { forget.hidden = !key(); };
onKey(showForget);
showForget();
