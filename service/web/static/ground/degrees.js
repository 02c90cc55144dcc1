// The degrees of the graticule, at the left and the bottom edge of the map.

import { graticuleStep } from "./paint.js";
import { number, text } from "../messages.js";

/** @returns {{refresh, remove}}: labels in an element over the map, which follow it. */
export function degreeLabels(map) {
  const room = document.createElement("div");
  room.className = "ground-degrees";
  room.setAttribute("aria-hidden", "true");
  map.getContainer().append(room);
  let waits = 0;
  const refresh = () => { waits ||= requestAnimationFrame(draw); };

  function draw() {
    waits = 0;
    const { x: width, y: height } = map.getSize();
    const step = graticuleStep(map.getZoom()), bounds = map.getBounds();
    const labels = [];
    for (let i = Math.ceil(bounds.getWest() / step); i * step <= bounds.getEast(); i++) {
      const lon = i * step, { x } = map.latLngToContainerPoint([map.getCenter().lat, lon]);
      if (x > 40 && x < width - 40) labels.push(label(degrees((((lon + 180) % 360) + 360) % 360 - 180, text("ground.east"), text("ground.west"), step), "lon", x));
    }
    for (let i = Math.ceil(bounds.getSouth() / step); i * step <= bounds.getNorth(); i++) {
      const { y } = map.latLngToContainerPoint([i * step, map.getCenter().lng]);
      if (y > 30 && y < height - 70) labels.push(label(degrees(i * step, text("ground.north"), text("ground.south"), step), "lat", y));
    }
    room.replaceChildren(...labels);
  }

  map.on("move zoomend resize", refresh);
  refresh();
  return {
    refresh,
    remove() {
      map.off("move zoomend resize", refresh);
      cancelAnimationFrame(waits);
      room.remove();
    },
  };
}

function degrees(value, positive, negative, step) {
  const digits = step < 0.05 || step === 0.25 ? 2 : step < 0.5 ? (step === 0.05 ? 2 : 1) : step < 1 ? 1 : 0;
  const rounded = Math.abs(value) < 1e-9 ? 0 : value;
  const size = number(Math.abs(rounded), { maximumFractionDigits: digits });
  return `${size}°${rounded === 0 ? "" : `\u202f${rounded > 0 ? positive : negative}`}`;
}

function label(text, kind, position) {
  const element = document.createElement("span");
  element.className = kind;
  element.textContent = text;
  element.style[kind === "lon" ? "left" : "top"] = `${Math.round(position)}px`;
  return element;
}
