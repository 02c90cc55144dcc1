// Pictures of all frames on the map, kept ready: a tile of the map is one canvas, on which the picture of any frame can be
// drawn at once. A frame is drawn when each tile in view has its picture, never in part; what could not be fetched is
// hatched, as it is not known.

import { call } from "../api.js";
import { L } from "./leaflet.js";

const PARALLEL = 6; // as many requests as a browser sends to a host at once
const MAX_BYTES = 256e6; // of decoded pictures
const PIXELS = 512; // sides of the pictures
const AGAIN_MS = 10000; // a tile that failed is asked for again
const HATCH = { dark: "rgb(118 124 130 / 67%)", light: "rgb(190 195 200 / 40%)", period: 8 };

const withSize = (url) => `${url}${url.includes("?") ? "&" : "?"}size=${PIXELS}`;

// Events: `drawn`, when another frame is drawn; `progress`, when a picture has arrived or failed.
export const FrameStack = L.GridLayer.extend({
  options: {
    pane: "radar",
    tileSize: devicePixelRatio > 1.25 ? PIXELS / 2 : PIXELS,
    keepBuffer: 0,
    updateWhenIdle: false,
    updateWhenZooming: false,
  },

  initialize(options) {
    L.setOptions(this, options);
    this._kept = []; // templates of the frames that are kept ready, the most urgent first
    this._wanted = null;
    this._shown = null;
    this._active = 0;
    this._parts = new Map(); // canvas -> its coordinates, its pictures by template, and what to call once it is drawn
    this.on("tileunload", ({ tile }) => this._forget(tile));
  },

  // The template of the frame that is drawn; null before the first one.
  shown() {
    return this._shown;
  },

  // Keeps frames ready: templates of their tiles, the most urgent first.
  keep(templates) {
    this._kept = templates;
    this._evict();
    this._pump();
  },

  // Draws a frame, at once where it is ready, else when it is.
  show(template) {
    this._wanted = template;
    this._drawWanted();
    this._pump();
  },

  // Whether each tile in view has the picture of a frame.
  isReady(template) {
    const parts = this._current();
    return Boolean(this._map) && parts.every((part) => part.pictures.get(template)?.settled);
  },

  // Whether a part of the frame that is drawn could not be fetched.
  hasGaps() {
    return this._current().some((part) => part.hatched);
  },

  // A map that is zoomed out by one shows tiles of twice the size: the address has another zoom.
  _zoomOf(coords) {
    return coords.z - Math.round(Math.log2(this.getTileSize().x / 256));
  },

  createTile(coords, done) {
    const canvas = document.createElement("canvas");
    canvas.width = PIXELS;
    canvas.height = PIXELS;
    this._parts.set(canvas, { canvas, coords, done: () => done(null, canvas), pictures: new Map() });
    queueMicrotask(() => this._pump()); // once Leaflet knows the tile
    return canvas;
  },

  onRemove(map) {
    L.GridLayer.prototype.onRemove.call(this, map);
    for (const canvas of [...this._parts.keys()]) this._forget(canvas);
  },

  _forget(canvas) {
    const part = this._parts.get(canvas);
    if (!part) return;
    this._parts.delete(canvas);
    for (const picture of part.pictures.values()) release(picture);
    if (this._map) queueMicrotask(() => this._drawWanted());
  },

  _current() {
    return Object.values(this._tiles ?? {}).filter((tile) => tile.current).map((tile) => this._parts.get(tile.el)).filter(Boolean);
  },

  _drawWanted() {
    if (this._wanted === this._shown || !this.isReady(this._wanted)) return;
    this._shown = this._wanted;
    for (const part of this._parts.values()) this._draw(part);
    this.fire("drawn");
  },

  _draw(part) {
    const pen = part.canvas.getContext("2d");
    pen.clearRect(0, 0, PIXELS, PIXELS);
    const picture = part.pictures.get(this._shown);
    if (picture?.bitmap) pen.drawImage(picture.bitmap, 0, 0, PIXELS, PIXELS);
    part.hatched = Boolean(picture?.failed); // until another picture is drawn, also while it is asked for again
    if (part.hatched) hatch(pen);
    if (picture?.settled) {
      part.done?.();
      part.done = null;
    }
  },

  _evict() {
    const parts = this._current();
    const room = Math.max(2, Math.floor(MAX_BYTES / (4 * PIXELS * PIXELS * Math.max(1, parts.length))));
    const wanted = new Set([this._wanted, this._shown, ...this._kept.slice(0, room)]);
    for (const part of this._parts.values()) {
      for (const [template, picture] of part.pictures) {
        if (wanted.has(template)) continue;
        release(picture);
        part.pictures.delete(template);
      }
    }
    return this._kept.slice(0, room);
  },

  // Asks for what is missing, the most urgent first.
  _pump() {
    if (!this._map) return;
    const order = [this._wanted, ...this._evict()];
    const parts = this._current();
    for (const template of order) {
      for (const part of parts) {
        if (this._active >= PARALLEL) return;
        if (template !== null && !part.pictures.has(template)) this._fetch(part, template);
      }
    }
  },

  async _fetch(part, template) {
    const picture = { controller: new AbortController(), settled: false, bitmap: null, failed: false };
    part.pictures.set(template, picture);
    this._active += 1;
    try {
      const url = withSize(L.Util.template(template, { x: part.coords.x, y: part.coords.y, z: this._zoomOf(part.coords) }));
      const response = await call(url, { signal: picture.controller.signal });
      picture.bitmap = await createImageBitmap(await response.blob());
    } catch (problem) {
      if (problem.name !== "AbortError") this._fail(part, template, picture, problem);
    }
    this._active -= 1;
    picture.settled = picture.failed || picture.bitmap !== null;
    if (!this._parts.has(part.canvas) || part.pictures.get(template) !== picture) release(picture);
    else if (template === this._shown && template === this._wanted) this._draw(part);
    this._drawWanted();
    this.fire("progress");
    this._pump();
  },

  _fail(part, template, picture, problem) {
    picture.failed = true;
    this.fire("failed", { problem });
    setTimeout(() => {
      if (part.pictures.get(template) !== picture) return;
      part.pictures.delete(template);
      this._pump();
    }, AGAIN_MS);
  },
});

function release({ controller, bitmap }) {
  controller.abort();
  bitmap?.close();
}

// What is not known is hatched, as missing data is: never transparent, which is dry.
function hatch(pen) {
  const { dark, light, period } = HATCH;
  pen.fillStyle = light;
  pen.fillRect(0, 0, PIXELS, PIXELS);
  pen.strokeStyle = dark;
  pen.lineWidth = period / 3;
  pen.beginPath();
  for (let start = -PIXELS; start < PIXELS; start += period) {
    pen.moveTo(start, PIXELS);
    pen.lineTo(start + PIXELS, 0);
  }
  pen.stroke();
}
