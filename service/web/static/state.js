// What the page shows: one object that the rooms of the page read, change and listen to. The address of the page is
// written from it, and it is made from the address, so that the address is a permalink.

import { read as readPlaces, write as writePlaces } from "./place/own_places.js";

const ADDRESS_MS = 300; // browsers limit how often a page may change its address

const number = (text) => (text.trim() === "" ? Number.NaN : Number(text));

function place(text) {
  const [lat, lon, ...name] = text.split(",");
  const [north, east] = [number(lat), number(lon ?? "")];
  if (!(Math.abs(north) <= 90 && Math.abs(east) <= 180)) return null;
  return { lat: north, lon: east, name: name.join(",") || null };
}

function view(text) {
  const [zoom, lat, lon] = text.split("/").map(number);
  return zoom >= 0 && zoom <= 20 && Math.abs(lat) <= 90 && Math.abs(lon) <= 540 ? { zoom, lat, lon } : null;
}

function time(text) {
  const parsed = new Date(text);
  return Number.isNaN(parsed.getTime()) ? null : parsed.toISOString();
}

const degrees = (value) => String(Math.round(value * 1e4) / 1e4);
const minute = (iso) => new Date(iso).toISOString().replace(/:00\.000Z$|\.000Z$/, "Z");
const same = (text) => text;

// Keys of the state that the address has: its parameter, and how that is read and written ("" and null: left out).
const PARAMETERS = [
  { key: "feed", parameter: "feed", read: same, write: same },
  { key: "nowcast", parameter: "nowcast", read: same, write: same },
  { key: "layer", parameter: "layer", read: same, write: (layer) => (layer === "rain" ? "" : layer) },
  { key: "compare", parameter: "compare", read: same, write: same },
  { key: "motion", parameter: "motion", read: (value) => value === "1", write: () => "1" },
  { key: "at", parameter: "at", read: time, write: (at) => at && minute(at) },
  { key: "place", parameter: "place", read: place, write: (at) => at && [degrees(at.lat), degrees(at.lon), ...(at.name ? [at.name] : [])].join(",") },
  { key: "places", parameter: "places", read: readPlaces, write: writePlaces },
  { key: "view", parameter: "map", read: view, write: (at) => at && `${at.zoom}/${degrees(at.lat)}/${degrees(at.lon)}` },
];

// The characters of times, places and views need no escape in a query.
const readable = (text) => encodeURIComponent(text).replace(/%(?:2C|2F|3A|40)/g, decodeURIComponent);

const isSame = (one, other) => one === other
  || (one?.constructor === Object && other?.constructor === Object && JSON.stringify(one) === JSON.stringify(other));

export function createState(search = "") {
  const query = new URLSearchParams(search);
  const listeners = new Set();
  let timer = null;

  const state = {
    source: null,
    frame: null,
    problem: null,
    feed: null,
    nowcast: null,
    layer: "rain",
    compare: null,
    motion: false,
    at: null, // the time that the user chose; null: the newest observed frame, whichever that is
    place: null,
    places: null, // the user's own; null: those of this device
    view: null,

    // Changes keys, and calls those that listen to one that differs.
    set(changes) {
      const changed = Object.keys(changes).filter((key) => !isSame(state[key], changes[key]));
      Object.assign(state, changes);
      if (!changed.length) return;
      for (const { keys, callback } of [...listeners]) if (keys.some((key) => changed.includes(key))) callback(state);
      clearTimeout(timer);
      timer = setTimeout(writeAddress, ADDRESS_MS);
    },

    // Calls `callback(state)` after each change of a key, or of one of several. Returns what ends that.
    on(keys, callback) {
      const listener = { keys: [keys].flat(), callback };
      listeners.add(listener);
      return () => listeners.delete(listener);
    },

    // The query of the address of what is shown, with changes where some are given.
    address(changes = {}) {
      const shown = { ...state, ...changes };
      const parts = PARAMETERS.map(({ key, parameter, write }) => [parameter, shown[key] && write(shown[key])]);
      const text = parts.filter(([, value]) => value).map(([name, value]) => `${name}=${readable(value)}`).join("&");
      return text && `?${text}`;
    },
  };

  for (const { key, parameter, read } of PARAMETERS) if (query.get(parameter)) state[key] = read(query.get(parameter));

  function writeAddress() {
    const known = PARAMETERS.map(({ parameter }) => parameter);
    const others = [...new URLSearchParams(location.search)].filter(([name]) => !known.includes(name)); // such as a language
    const own = state.address();
    const rest = new URLSearchParams(others).toString();
    history.replaceState(null, "", `${location.pathname}${own}${rest && `${own ? "&" : "?"}${rest}`}`);
  }
  return state;
}
