// Every word that a user reads, in the language of the page: messages/LANGUAGE.json, a flat object of texts by key.
//
// The language is `?language=` of the address, else the one chosen before on this device, else the first of the browser's
// that there is, else English.

import { words } from "./words.js";

export const LANGUAGES = { en: "English", de: "Deutsch" };
const NAME = "echocast-language";
const ATTRIBUTES = { label: "aria-label", title: "title", placeholder: "placeholder", alt: "alt" };
const MARKED = ["data-message", ...Object.keys(ATTRIBUTES).map((name) => `data-message-${name}`)];

export const language = chosen();
// Of numbers and dates: the browser's own variety of the language, such as de-AT.
export const locale = navigator.languages.find((tag) => primary(tag) === language) ?? { en: "en-GB" }[language] ?? language;

export const { text, number, date, clock } = words(await load(), locale);

// Sets the texts of the elements with `data-message`, and the attributes of those with `data-message-label` (aria-label),
// -title, -placeholder and -alt; and fills the switches of the language, `<select data-languages>`.
export function apply(root = document) {
  for (const element of [root, ...root.querySelectorAll(MARKED.map((name) => `[${name}]`))]) {
    if (element.dataset?.message) element.textContent = text(element.dataset.message);
    for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
      const key = element.getAttribute?.(`data-message-${name}`);
      if (key) element.setAttribute(attribute, text(key));
    }
  }
  root.querySelectorAll("select[data-languages]:empty").forEach(attachSwitch);
}

// Keeps the choice on this device, or else in the address, and loads the page again in that language.
export function choose(name) {
  const address = new URL(location);
  address.searchParams.delete("language");
  try {
    localStorage.setItem(NAME, name);
  } catch { // this browser keeps nothing
    address.searchParams.set("language", name);
  }
  if (address.href === location.href) location.reload();
  else location.replace(address);
}

function chosen() {
  let stored = null;
  try {
    stored = localStorage.getItem(NAME);
  } catch { /* a browser that keeps nothing */ }
  const wanted = [new URLSearchParams(location.search).get("language"), stored, ...navigator.languages.map(primary)];
  return wanted.find((name) => Object.hasOwn(LANGUAGES, name ?? "")) ?? "en";
}

function primary(tag) {
  return tag.split("-")[0].toLowerCase();
}

async function load() {
  const response = await fetch(new URL(`messages/${language}.json`, import.meta.url));
  if (!response.ok) throw new Error(`messages of ${language}: status ${response.status}`);
  return response.json();
}

function attachSwitch(select) {
  select.replaceChildren(...Object.entries(LANGUAGES).map(([value, name]) =>
    Object.assign(document.createElement("option"), { value, textContent: name, lang: value })));
  select.value = language;
  select.addEventListener("change", () => choose(select.value));
}

document.documentElement.lang = language;
apply();
