// The answer for a place: chosen by a tap on the map, by search, by where the device is, or from the own places; kept in
// the state, so that the address has it. The answer is asked for again with each nowcast, and each minute, as "now" moves.

import { json, unreachable } from "../api.js";
import { make, refill } from "../dom.js";
import { L } from "../map/leaflet.js";
import { text } from "../messages.js";
import { placeCard } from "./card.js";
import * as own from "./own_places.js";
import { attachSearch, coordinates } from "./search.js";

const AGAIN_MS = 60000;
const PATIENCE_MS = 30000; // a network may swallow what is sent
const TOWN_ZOOM = 8; // what comes to a town within the hour is in sight
const AT_KM = 3; // a town is as large
const NEAR_KM = 40;

export function attach(element, state, map) {
  if (state.places === null || state.places === undefined) state.set({ places: own.stored() });
  const card = placeCard(element, {
    onStar: () => change(own.toggled(state.places, named())),
    onMove: (index, by) => change(own.moved(state.places, index, by)),
    onChoose: (place) => state.set({ place }),
    onClose: () => state.set({ place: null }),
    onPick: ({ valid_time: at }) => state.set({ frame: state.source.frameAt(at), at }),
  });
  const box = document.getElementById("search");
  const search = attachSearch(box, { choose, own: () => state.places, view: () => state.view });
  const chips = make("div", { class: "own-chips", role: "group", "aria-label": text("place.own") });
  box.append(chips);
  const marker = L.marker([0, 0], { icon: L.divIcon({ className: "place-pin", iconSize: [24, 24] }), interactive: false, keyboard: false });
  let request = null;
  let timer = 0;
  let title = "";
  let told = ""; // what a screen reader was told last

  function choose(place) {
    state.set({ place });
    map.setView([place.lat, place.lon], Math.max(map.getZoom(), TOWN_ZOOM));
  }

  function change(places) {
    own.store(places);
    state.set({ places });
  }

  const named = () => ({ ...state.place, name: state.place.name ?? title });

  function drawChips() {
    refill(chips, ...state.places.map((place) => make("button", {
      type: "button", class: "own-chip", "data-key": coordinates(place), "aria-pressed": String(own.isSame(place, state.place)), onclick: () => choose(place),
    }, place.name ?? coordinates(place))));
    chips.hidden = !state.places.length;
    card.own(state.places, state.place && own.includes(state.places, state.place));
  }

  // A place from the map has no name: that of the nearest town tells where it is.
  async function nameIt(place) {
    title = place.name ?? coordinates(place);
    card.title(title);
    if (place.name) return;
    try {
      const { places } = await json(`v1/places?${new URLSearchParams({ lat: place.lat.toFixed(4), lon: place.lon.toFixed(4), limit: 1 })}`);
      const [town] = places;
      if (state.place !== place || !town || town.distance_km > NEAR_KM) return;
      title = town.distance_km <= AT_KM ? town.name : text("place.near", { town: town.name });
      card.title(title);
    } catch {
      // its coordinates stay
    }
  }

  async function load() {
    clearTimeout(timer);
    request?.abort();
    const { place, source } = state;
    if (!place) return;
    if (!source) {
      if (state.problem) fail(state.problem);
      else card.wait(coordinates(place));
      return;
    }
    timer = setTimeout(load, AGAIN_MS);
    const mine = new AbortController();
    request = mine;
    const patience = setTimeout(() => mine.abort(unreachable()), PATIENCE_MS);
    try {
      const answer = await source.point(place.lat, place.lon, { signal: mine.signal });
      if (state.place !== place || state.source !== source) return;
      // Only what differs is read aloud: not that a minute has passed.
      const key = [place.lat, place.lon, answer.coverage, answer.reference_time, answer.outlook?.state].join();
      card.show(answer, source, { aloud: key !== told });
      told = key;
      card.follow(state.frame);
    } catch (problem) {
      if (request === mine && problem.name !== "AbortError") fail(problem);
    } finally {
      clearTimeout(patience);
    }
  }

  function fail(problem) {
    told = "";
    card.fail(problem);
  }

  function open() {
    const { place } = state;
    if (place) {
      marker.setLatLng([place.lat, place.lon]).addTo(map);
      card.wait(coordinates(place));
      nameIt(place);
    } else {
      marker.remove();
      card.clear(search.focus);
    }
    drawChips();
    load();
  }

  const pick = (position) => {
    const { lat, lng: lon } = position.wrap();
    state.set({ place: { lat, lon, name: null } });
  };
  map.on("click", ({ latlng }) => pick(latlng));
  map.getContainer().addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target === map.getContainer()) pick(map.getCenter());
  });
  state.on("place", open);
  state.on(["source", "problem"], load);
  state.on("places", drawChips);
  state.on("frame", () => card.follow(state.frame));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) load(); });
  if (!state.place && state.places.length && state.view === null) state.set({ place: state.places[0] });
  else open();
}
