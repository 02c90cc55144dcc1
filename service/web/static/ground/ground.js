// The base map: land, lakes and rivers below the radar; coasts, borders and names of towns above it. No request leaves
// the service, unless its operator has set a base map of their own (ECHOCAST_BASE_MAP_URL).

import { L } from "../map/leaflet.js";
import { Cells } from "./cell.js";
import { degreeLabels } from "./degrees.js";
import { coloursOf, fills, lines } from "./paint.js";

const PANES = { ground: 150, "ground-lines": 450 }; // the radar is between them
const MOST_PIXELS = 2; // of the screen for one of the map: what a third adds is not seen, but takes memory

/** Put the base map on a Leaflet map.
 *  @param {{graticule?: boolean, scale?: boolean}} options
 *  @returns {{setGraticule(shown), repaint(), remove(), ready: Promise}} */
export function attachGround(map, { graticule = true, scale = true } = {}) {
  const shown = { graticule };
  const layers = [];
  let cells = null, colours = coloursOf(map.getContainer()), degrees = graticule ? degreeLabels(map) : null;

  for (const [name, order] of Object.entries(PANES)) {
    const pane = map.createPane(name);
    pane.style.zIndex = order;
    pane.style.pointerEvents = "none";
  }
  const repaint = () => {
    colours = coloursOf(map.getContainer());
    for (const layer of layers) layer.repaint();
  };
  const TileLayer = tileLayer(() => cells, () => colours);
  layers.push(
    new TileLayer(fills, shown, { pane: "ground" }).addTo(map),
    new TileLayer(lines, shown, { pane: "ground-lines" }).addTo(map),
  );
  map.attributionControl?.setPosition("bottomleft"); // below the scale bar
  const bar = scale ? L.control.scale({ imperial: false, maxWidth: 120, position: "bottomleft" }).addTo(map) : null;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", repaint);

  const ready = load().catch((error) => console.warn("no base map:", error));
  async function load() {
    const response = await fetch(new URL("ground/index.json", document.baseURI));
    if (!response.ok) throw new Error(`ground: ${response.status}`);
    const index = await response.json();
    cells = new Cells(index);
    map.attributionControl?.addAttribution(index.sources.map(named).join(", "));
    if (index.base_map) ownBaseMap(index.base_map);
    await cells.load("0/0/0");
    repaint();
  }

  function ownBaseMap({ url, attribution }) {
    const own = L.tileLayer(url, { pane: "ground", zIndex: 2, attribution: escaped(attribution), maxNativeZoom: 18 });
    own.once("tileload", () => layers[1].remove()); // it brings names of its own; where it cannot be reached, ours stay
    layers.push(Object.assign(own.addTo(map), { repaint() {} }));
  }

  return {
    ready,
    repaint,
    setGraticule(wanted) {
      shown.graticule = wanted;
      degrees?.remove();
      degrees = wanted ? degreeLabels(map) : null;
      repaint();
    },
    remove() {
      dark.removeEventListener("change", repaint);
      degrees?.remove();
      bar?.remove();
      for (const layer of layers) layer.remove();
    },
  };
}

/** A class of layers that draw their tiles by a function of paint.js; a tile is drawn at once, and again when more of
 *  the base map has been loaded: nothing flickers. */
function tileLayer(cells, colours) {
  return L.GridLayer.extend({
    initialize(paint, shown, options) {
      L.GridLayer.prototype.initialize.call(this, { ...options, keepBuffer: 2, updateWhenZooming: false });
      this.paint = paint;
      this.shown = shown;
      this.canvases = new Map();
      this.on("tileunload", ({ tile }) => this.canvases.delete(tile));
    },
    createTile(coords, done) {
      const canvas = document.createElement("canvas");
      const ratio = Math.min(MOST_PIXELS, Math.ceil(globalThis.devicePixelRatio || 1));
      canvas.width = canvas.height = this.getTileSize().x * ratio;
      this.canvases.set(canvas, coords);
      this.draw(canvas);
      setTimeout(done, 0, null, canvas);
      return canvas;
    },
    draw(canvas) {
      const coords = this.canvases.get(canvas);
      if (!coords) return;
      const size = this.getTileSize().x, pen = canvas.getContext("2d");
      pen.setTransform(canvas.width / size, 0, 0, canvas.width / size, 0, 0);
      const cell = cells()?.ofTile(coords, () => this.draw(canvas)) ?? null;
      this.paint(pen, cell, coords, size, colours(), this.shown);
    },
    repaint() {
      for (const canvas of this.canvases.keys()) this.draw(canvas);
    },
  });
}

/** HTML that names a source, with its licence where that has to be told. */
function named({ name, url, licence }) {
  const link = Object.assign(document.createElement("a"), { href: url, textContent: name });
  return link.outerHTML + (licence ? ` (${escaped(licence)})` : "");
}

function escaped(text) {
  const element = document.createElement("span");
  element.textContent = text;
  return element.innerHTML;
}
