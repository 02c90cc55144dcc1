// The map: Leaflet with its controls, the view of the state, and whether what it shows is complete.

import { icon } from "../icons.js";
import { text } from "../messages.js";
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
  L.control.zoom({ position: "bottomright", zoomInTitle: text("map.zoomIn"), zoomOutTitle: text("map.zoomOut") }).addTo(map);
  L.control.attribution({ prefix: "" }).addTo(map);
  const buttons = [["fit", "map.fit", () => fit()]];
  if (document.fullscreenEnabled) buttons.push(["fullScreen", "map.fullScreen", fullScreen]);
  buttonsControl(buttons).addTo(map);
  element.setAttribute("aria-label", text("map.label"));

  const { view } = state;
  map.setView([view?.lat ?? EUROPE.lat, view?.lon ?? EUROPE.lon], view?.zoom ?? EUROPE.zoom);

  function fit() {
    if (!state.source?.bounds) return;
    const [west, south, east, north] = state.source.bounds;
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

// Says on the map that the frame is not drawn yet, or that parts of it are missing.
export function loadingMark(element, mapElement, state, frames) {
  const draw = () => {
    const loading = Boolean(state.frame) && !frames.isDrawn();
    const gaps = !loading && frames.hasGaps();
    mapElement.classList.toggle("loading", loading);
    mapElement.setAttribute("aria-busy", String(loading));
    element.textContent = loading ? text("map.loading") : gaps ? text("map.gaps") : "";
    element.hidden = !element.textContent;
  };
  frames.on(draw);
  draw();
}
