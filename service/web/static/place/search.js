// The search box: towns, coordinates, where this device is, and own places. A list box by the pattern of ARIA's combobox.

import { json } from "../api.js";
import { make } from "../dom.js";
import { icon } from "../icons.js";
import { language, number, text } from "../messages.js";
import { locate } from "./locate.js";

const WAIT_MS = 120; // after a key, so that not every letter is asked for
const MOST = 6;

// `choose` is called with {lat, lon, name}; `own` returns the own places; `view` the middle of the map, near which towns go first.
export function attachSearch(box, { choose, own, view }) {
  const input = make("input", {
    id: "search-input", type: "search", role: "combobox", autocomplete: "off", spellcheck: "false", enterkeyhint: "search",
    "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": "search-list", placeholder: text("search.placeholder"), "aria-label": text("search.label"),
  });
  const list = make("ul", { id: "search-list", role: "listbox", "aria-label": text("search.results"), hidden: true });
  const here = make("button", { type: "button", class: "button icon", id: "search-here", title: text("search.here"), "aria-label": text("search.here") }, icon("here"));
  const said = make("p", { id: "search-said", class: "hint", role: "status" });
  let options = [];
  let active = -1;
  let request = null;
  let timer = 0;

  function show(found) {
    options = found;
    active = -1;
    list.replaceChildren(...found.map(optionOf));
    list.hidden = !found.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    input.removeAttribute("aria-activedescendant");
  }

  function optionOf({ title, detail, kind }, index) {
    return make("li", { id: `search-option-${index}`, role: "option", "aria-selected": "false", class: kind, onmousedown: (event) => event.preventDefault(), onclick: () => pick(index) },
      make("span", { class: "title" }, title), detail ? make("span", { class: "detail" }, detail) : null);
  }

  function mark(index) {
    active = (index + options.length) % options.length;
    [...list.children].forEach((item, number_) => item.setAttribute("aria-selected", String(number_ === active)));
    input.setAttribute("aria-activedescendant", `search-option-${active}`);
    list.children[active].scrollIntoView({ block: "nearest" });
  }

  function pick(index) {
    const { place } = options[index];
    close();
    if (place === null) {
      find();
      return;
    }
    input.value = "";
    input.blur(); // on a phone the keyboard makes room for the answer
    choose(place);
  }

  function close() {
    request?.abort();
    clearTimeout(timer);
    show([]);
    said.textContent = "";
  }

  async function find() {
    said.textContent = text("search.locating");
    try {
      const place = await locate();
      said.textContent = "";
      choose(place);
    } catch (problem) {
      said.textContent = problem.message;
    }
  }

  const suggested = () => [
    { title: text("search.here"), kind: "here", place: null },
    ...own().map((place) => ({ title: place.name ?? coordinates(place), kind: "own", place })),
  ];

  async function search() {
    const wanted = input.value.trim();
    request?.abort();
    if (!wanted) {
      show(suggested());
      return;
    }
    request = new AbortController();
    const middle = view();
    const query = new URLSearchParams({ q: wanted.slice(0, 100), limit: MOST, ...(middle && { lat: middle.lat.toFixed(3), lon: middle.lon.toFixed(3) }) });
    try {
      const { places } = await json(`v1/places?${query}`, { signal: request.signal });
      show(places.map(foundOption));
      said.textContent = places.length ? "" : text("search.nothing", { words: wanted });
    } catch (problem) {
      if (problem.name === "AbortError") return;
      show([]);
      said.textContent = problem.detail || problem.title;
    }
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, WAIT_MS);
  });
  input.addEventListener("focus", () => {
    if (list.hidden) search();
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", async (event) => {
    event.stopPropagation(); // the keys of the time bar are not meant
    if (event.key === "Escape") {
      if (list.hidden) input.value = "";
      close();
    } else if (["ArrowDown", "ArrowUp"].includes(event.key) && options.length) {
      event.preventDefault();
      mark(active + (event.key === "ArrowDown" ? 1 : active < 0 ? 0 : -1));
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (active < 0) {
        clearTimeout(timer);
        if (input.value.trim()) await search();
      }
      if (options.length) pick(Math.max(active, 0));
    }
  });
  here.addEventListener("click", find);
  const form = make("form", { role: "search", class: "search", onsubmit: (event) => event.preventDefault() }, input, here, list, said);
  box.prepend(form);
  return { focus: () => input.focus() };
}

function foundOption({ name, matched, country, region, latitude, longitude, distance_km: distance, kind }) {
  const where = [matched && matched !== name ? matched : null, region, countryName(country)].filter(Boolean).join(", ");
  const far = distance === null || distance === undefined ? "" : text("search.distance", { km: number(Math.round(distance)) });
  return {
    title: name, detail: [where, far].filter(Boolean).join(" · "), kind,
    place: { lat: latitude, lon: longitude, name: kind === "coordinates" ? null : name },
  };
}

function countryName(code) {
  try {
    return code && new Intl.DisplayNames([language], { type: "region" }).of(code);
  } catch {
    return code;
  }
}

export const coordinates = ({ lat, lon }) =>
  `${number(Math.abs(lat), { minimumFractionDigits: 3, maximumFractionDigits: 3 })}° ${text(lat < 0 ? "place.south" : "place.north")}, `
  + `${number(Math.abs(lon), { minimumFractionDigits: 3, maximumFractionDigits: 3 })}° ${text(lon < 0 ? "place.west" : "place.east")}`;
