// Arrows over the map: where precipitation is moving, and how far it gets within some minutes.

import { json } from "../api.js";
import { L } from "./leaflet.js";

const PANE = "motion";
const PANE_Z = 340; // above the radar, below coast lines and names
const HEAD = 0.3; // of the length of an arrow
const HEAD_ANGLE = (150 * Math.PI) / 180;

export function drawMotion(map, state) {
  map.createPane(PANE).style.zIndex = PANE_Z;
  map.getPane(PANE).style.pointerEvents = "none";
  const group = L.layerGroup().addTo(map);
  const renderer = L.canvas({ pane: PANE });
  let asked = 0;

  async function draw() {
    const mine = ++asked;
    if (!state.motion || !state.source?.reference_time) {
      group.clearLayers();
      return;
    }
    let arrows = [];
    try {
      ({ arrows } = await json(`${state.source.path}/motion.json`));
    } catch { /* a nowcast without motion has no arrows */ }
    if (mine !== asked) return;
    group.clearLayers();
    for (const lines of [{ color: "#fff", weight: 5, opacity: 0.8 }, { color: "#17212b", weight: 2 }]) {
      for (const arrow of arrows) group.addLayer(L.polyline(shapeOf(arrow), { ...lines, renderer, interactive: false }));
    }
  }

  state.on(["source", "motion"], draw);
  draw();
}

// Shaft and head of an arrow; degrees of longitude are shorter than those of latitude.
function shapeOf({ lat, lon, to_lat: toLat, to_lon: toLon }) {
  const shrink = Math.cos((toLat * Math.PI) / 180);
  const [north, east] = [toLat - lat, (toLon - lon) * shrink];
  const barb = (angle) => [
    toLat + HEAD * (north * Math.cos(angle) - east * Math.sin(angle)),
    toLon + (HEAD * (north * Math.sin(angle) + east * Math.cos(angle))) / shrink,
  ];
  return [[[lat, lon], [toLat, toLon]], [barb(HEAD_ANGLE), [toLat, toLon], barb(-HEAD_ANGLE)]];
}
