// A picture of what the map shows, to be saved or printed: all that is drawn on it, the place, and below what it is: the
// feed, the time, the layer with its legend, the model and the age.

import { unreachable } from "../api.js";
import { fromNow, kindOf, localTime, utcTime } from "../map/frame_words.js";
import { spanOf, titleOf } from "../map/layer_title.js";
import { clock, number, text } from "../messages.js";

const BAND = 112; // pixels below the map
const LOOK_MS = 50;
const PATIENCE_MS = 20000;
const INK = "#17212b";
const QUIET = "#53606c";
const FONT = "system-ui, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif";

// Resolves once the map shows the frame that the time bar names.
export async function mapDrawn(map) {
  const since = Date.now();
  while (map.getContainer().getAttribute("aria-busy") === "true") {
    if (Date.now() - since > PATIENCE_MS) throw unreachable();
    await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
  }
}

// A canvas; `ratio`: its pixels for one of the page.
export function mapPicture(map, state, ratio = Math.max(2, devicePixelRatio)) {
  const box = map.getContainer().getBoundingClientRect();
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round((box.height + BAND) * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.save();
  pen.beginPath();
  pen.rect(0, 0, box.width, box.height);
  pen.clip();
  pen.fillStyle = getComputedStyle(map.getContainer()).backgroundColor;
  pen.fillRect(0, 0, box.width, box.height);
  drawPanes(pen, map, box);
  drawPlace(pen, map, state.place);
  pen.restore();
  drawBand(pen, state, box);
  return canvas;
}

// What the source is, in one line: name, nowcast, model, age.
export function sourceLine({ source }) {
  const age = source.ageMinutes();
  return [
    source.isLive ? source.name : text("source.upload"),
    source.status.radar_product,
    source.reference_time && text("source.nowcast", { time: clock(source.reference_time), model: (source.model ?? "").replace("@", " ") }),
    age === null ? "" : text("source.age", { minutes: number(Math.round(age), { maximumFractionDigits: 0 }) }),
  ].filter(Boolean).join(" · ");
}

const layerOf = ({ source, frame, layer }) => (frame ? source.drawnLayer(frame, source.layerOf(layer)) : source.layerOf(layer));

// The time of a frame in one line: "14:05 CEST (12:05 UTC) · in 5 min · Forecast, lead +5 min"; that of a layer which is
// one picture of a span of time.
export function timeLine(state) {
  const { source, frame } = state;
  if (!frame) return "";
  const span = spanOf(layerOf(state));
  if (span) return `${span} (${spanOf(layerOf(state), { timeZone: "UTC" })} UTC)`;
  const { clock: at, zone, day } = localTime(frame.valid_time);
  return [`${day} ${at} ${zone} (${utcTime(frame.valid_time)})`.trim(), fromNow(frame, source), kindOf(frame, source)].filter(Boolean).join(" · ");
}

const order = (element) => Number(getComputedStyle(element).zIndex) || 0;

function drawPanes(pen, map, box) {
  const panes = Object.values(map.getPanes()).filter((pane) => pane.matches(".leaflet-map-pane > *"));
  for (const pane of panes.sort((one, other) => order(one) - order(other))) {
    if (getComputedStyle(pane).visibility === "hidden") continue;
    pen.save();
    clip(pen, pane, box);
    for (const drawn of pane.querySelectorAll("canvas, img")) if (isOwn(drawn)) draw(pen, drawn, pane, box);
    pen.restore();
  }
}

// Of two models side by side each has a part of the map: the polygon of its pane.
function clip(pen, pane, box) {
  const corners = [...pane.style.clipPath.matchAll(/(-?[\d.]+)px (-?[\d.]+)px/g)];
  if (!corners.length) return;
  const { left, top } = pane.getBoundingClientRect();
  pen.beginPath();
  for (const [, x, y] of corners) pen.lineTo(left - box.left + Number(x), top - box.top + Number(y));
  pen.clip();
}

// A picture of another host (a base map of the operator's own) would make the canvas unreadable.
const isOwn = (element) => element.tagName === "CANVAS" || new URL(element.src, location).origin === location.origin;

function draw(pen, drawn, pane, box) {
  const { left, top, width, height } = drawn.getBoundingClientRect();
  if (!width || !height) return;
  let alpha = 1;
  for (let element = drawn; element !== pane.parentElement; element = element.parentElement) alpha *= Number(getComputedStyle(element).opacity);
  pen.globalAlpha = alpha;
  pen.imageSmoothingEnabled = getComputedStyle(drawn).imageRendering !== "pixelated";
  pen.drawImage(drawn, left - box.left, top - box.top, width, height);
  pen.globalAlpha = 1;
}

function drawPlace(pen, map, place) {
  if (!place) return;
  const { x, y } = map.latLngToContainerPoint([place.lat, place.lon]);
  for (const [width, colour] of [[7, "#ffffff"], [3, INK]]) {
    pen.beginPath();
    pen.arc(x, y, 9, 0, 2 * Math.PI);
    pen.lineWidth = width;
    pen.strokeStyle = colour;
    pen.stroke();
  }
  if (!place.name) return;
  pen.font = `600 15px ${FONT}`;
  pen.lineJoin = "round";
  pen.lineWidth = 4;
  pen.strokeStyle = "#ffffff";
  pen.strokeText(place.name, x + 15, y + 5);
  pen.fillStyle = INK;
  pen.fillText(place.name, x + 15, y + 5);
}

function drawBand(pen, state, { width, height }) {
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, height, width, BAND);
  const line = (words, y, font, colour) => {
    pen.font = `${font} ${FONT}`;
    pen.fillStyle = colour;
    pen.fillText(words, 14, height + y, width - 28);
  };
  const layer = layerOf(state);
  const unit = layer.legend ? `, ${layer.legend.unit}` : "";
  line(timeLine(state), 24, "650 16px", INK);
  line(`${titleOf(layer)}${unit}`, 44, "14px", INK);
  if (layer.legend) drawLegend(pen, layer.legend, height + 52, width);
  line(`${sourceLine(state)} · Echocast`, BAND - 8, "12px", QUIET);
}

function drawLegend(pen, { classes, no_data: missing }, y, width) {
  const side = Math.min(44, (width - 28) / (classes.length + 2));
  pen.font = `11px ${FONT}`;
  classes.forEach(({ colour, lower }, index) => {
    pen.fillStyle = colour;
    pen.fillRect(14 + index * side, y, side, 12);
    pen.fillStyle = INK;
    pen.fillText(number(lower), 14 + index * side, y + 25);
  });
  const left = 14 + (classes.length + 0.4) * side;
  pen.save();
  pen.beginPath();
  pen.rect(left, y, side, 12);
  pen.clip();
  pen.fillStyle = missing.colours[1];
  pen.fillRect(left, y, side, 12);
  pen.strokeStyle = missing.colours[0];
  pen.lineWidth = 3;
  for (let x = left - 12; x < left + side; x += 8) {
    pen.beginPath();
    pen.moveTo(x, y + 12);
    pen.lineTo(x + 12, y);
    pen.stroke();
  }
  pen.restore();
  pen.fillStyle = INK;
  pen.fillText(text("share.noData"), left, y + 25);
}
