// The widget on another page: the sentence and the bars of a place, a small map, or both. It follows the feed by itself.

import { attachGround } from "../ground/ground.js";
import { drawFrames } from "../map/frames.js";
import { L } from "../map/leaflet.js";
import { drawLegend } from "../map/legend.js";
import { makeMap } from "../map/map.js";
import { player } from "../map/player.js";
import { freshness } from "../map/source_bar.js";
import { timeBar } from "../map/time_bar.js";
import { language, text } from "../messages.js";
import { feeds, feedSource, newestOf } from "../sources/feed.js";
import { nowcastSource } from "../sources/nowcast.js";
import { createState } from "../state.js";
import { drawBars } from "./bars.js";

const AGAIN_MS = 15000;
const PLACE_ZOOM = 8;
const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
const byId = (id) => document.getElementById(id);

const state = createState(location.search);
const show = new URLSearchParams(location.search).get("show") ?? "all"; // all, place (the sentence alone), map
const hasPlace = state.place !== null && show !== "map";
const hasMap = state.place === null || show !== "place";

byId("embed-place").hidden = !hasPlace;
byId("map-room").hidden = byId("time").hidden = !hasMap;
if (state.place && !state.view) state.view = { ...state.place, zoom: PLACE_ZOOM };

if (hasMap) {
  const map = makeMap(byId("map"), state);
  attachGround(map, { graticule: false, scale: false });
  const frames = drawFrames(map, state);
  timeBar(byId("time"), state, player(state, frames), frames);
  if (state.place) L.circleMarker([state.place.lat, state.place.lon], { radius: 8, weight: 3, fill: false, className: "embed-pin" }).addTo(map);
  state.on(["source", "frame", "layer"], ({ source, frame }) => {
    if (source && frame) drawLegend(byId("embed-legend"), source.drawnLayer(frame, source.layerOf(state.layer)));
  });
}

function drawHead() {
  const { source, place } = state;
  const name = place?.name ?? source.name;
  const { level, words, sentence } = freshness(source, 0);
  byId("embed-title").textContent = name;
  document.title = text("share.reportTitle", { place: name });
  byId("embed-age").textContent = words;
  byId("embed-age").className = `chip ${level}`;
  byId("embed-open").href = `./${state.address()}`;
  tell(level === "bad" ? sentence : "");
}

function tell(words) {
  byId("embed-problem").textContent = words;
  byId("embed-problem").hidden = !words;
}

async function drawPlace() {
  if (!hasPlace) return;
  const { place, source } = state;
  const answer = await source.point(place.lat, place.lon, { language, timeZone });
  const outside = answer.coverage === "no_coverage";
  byId("embed-sentence").textContent = outside ? text("share.outside") : answer.sentence;
  if (!outside) drawBars(byId("embed-bars"), answer.forecast, source.layers[0].legend);
}

async function take(source) {
  const { at } = state;
  state.set({ source, frame: at ? source.frameAt(at) : source.newest() });
  drawHead();
  await drawPlace();
}

async function open() {
  try {
    const source = await found();
    await take(source);
    source.subscribe((next, problem) => (next ? take(next).catch(fail) : fail(problem)));
  } catch (problem) {
    fail(problem);
    setTimeout(open, AGAIN_MS);
  }
}

async function found() {
  if (state.nowcast) return nowcastSource(state.nowcast);
  const name = state.feed ?? newestOf(await feeds())?.name;
  if (!name) throw Object.assign(new Error(), { title: text("live.noFeeds") });
  state.feed = name;
  return feedSource(name);
}

function fail(problem) {
  tell([problem.title, problem.hint].filter(Boolean).join(". "));
}

open();
