// The map: Leaflet with its controls, the view of the state, and whether what it shows is complete.

import { icon } from "../icons.js";
import { text } from "../messages.js";
import { isBeyondScored } from "./frame_words.js";
import { L } from "./leaflet.js";

const RADAR_Z = 250; // above the ground, below coast lines and names
const EUROPE = { lat: 50, lon: 10, zoom: 4 };

export function makeMap(element, state) {
  const map = L.map(element, {
    zoomControl: false,
    attributionControl: false,
    fadeAnimation: false,
    zoomAnimation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    keyboard: true,
    minZoom: 2,
    maxZoom: 13,
    maxBoundsViscosity: 1,
    worldCopyJump: true,
  });
  map.createPane("radar").style.zIndex = RADAR_Z;
  L.control.attribution({ prefix: "" }).addTo(map); // the first one is the lowest
  L.control.zoom({ position: "bottomright", zoomInTitle: text("map.zoomIn"), zoomOutTitle: text("map.zoomOut") }).addTo(map);
  const buttons = [["fit", "map.fit", () => fit()]];
  if (document.fullscreenEnabled) buttons.push(["fullScreen", "map.fullScreen", fullScreen]);
  buttonsControl(buttons).addTo(map);
  element.setAttribute("aria-label", text("map.label"));

  const { view } = state;
  map.setView([view?.lat ?? EUROPE.lat, view?.lon ?? EUROPE.lon], view?.zoom ?? EUROPE.zoom);

  function fit() {
    if (!state.source?.bounds) return;
    const [west, south, east, north] = state.source.data_bounds ?? state.source.bounds;
    map.fitBounds([[south, west], [north, east]], { animate: false });
    keepView();
  }

  function keepView() {
    const { lat, lng } = map.getCenter();
    state.set({ view: { zoom: map.getZoom(), lat, lon: lng } });
  }

  map.on("moveend", () => { if (state.view !== null) keepView(); });
  state.on("source", () => { if (state.view === null) fit(); });
  new ResizeObserver(() => map.invalidateSize({ animate: false })).observe(element);
  return map;
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen();
}

function buttonsControl(buttons) {
  const control = L.control({ position: "bottomright" });
  control.onAdd = () => {
    const bar = L.DomUtil.create("div", "leaflet-bar");
    for (const [symbol, message, onClick] of buttons) {
      const button = L.DomUtil.create("button", "map-button", bar);
      Object.assign(button, { type: "button", title: text(message) });
      button.append(icon(symbol));
      button.setAttribute("aria-label", text(message));
      button.addEventListener("click", onClick);
    }
    L.DomEvent.disableClickPropagation(bar);
    return bar;
  };
  return control;
}

// Says on the map what is to be known of the picture: it is not drawn yet, lacks parts, or is beyond the scored leads.
// A screen reader is told once for a feed or nowcast that parts are lacking.
export function pictureMark(element, mapElement, state, frames) {
  const said = document.createElement("p");
  let toldOf = "";
  said.className = "visually-hidden";
  said.setAttribute("role", "status");
  element.after(said);
  const tellGaps = ({ kind, name }) => {
    if (!frames.hasGaps() || toldOf === `${kind} ${name}`) return;
    toldOf = `${kind} ${name}`;
    said.textContent = text("map.gaps");
  };
  const wordsOf = ({ frame, source }) => {
    if (!frames.isDrawn()) return text("map.loading");
    if (frames.hasGaps()) return text("map.gaps");
    return isBeyondScored(frame, source) ? text("map.unscored", { minutes: source.scored_lead_minutes }) : "";
  };
  const draw = () => {
    const { frame, source } = state;
    const isLoading = Boolean(frame && source) && !frames.isDrawn();
    mapElement.classList.toggle("loading", isLoading);
    mapElement.classList.toggle("beyond", Boolean(frame && source) && isBeyondScored(frame, source));
    mapElement.setAttribute("aria-busy", String(isLoading));
    element.textContent = frame && source ? wordsOf(state) : "";
    element.hidden = !element.textContent;
    if (source) tellGaps(source);
  };
  frames.on(draw);
  state.on(["frame", "source"], draw);
  draw();
}
