// The widget on another page: the sentence and the bars of a place, a small map, or both. It follows the feed by itself.

import { attachGround } from "../ground/ground.js";
import { drawFrames } from "../map/frames.js";
import { L } from "../map/leaflet.js";
import { drawLegend } from "../map/legend.js";
import { makeMap } from "../map/map.js";
import { player } from "../map/player.js";
import { freshness } from "../map/source_bar.js";
import { timeBar } from "../map/time_bar.js";
import { text } from "../messages.js";
import { feeds, feedSource, newestOf } from "../sources/feed.js";
import { nowcastSource } from "../sources/nowcast.js";
import { createState } from "../state.js";
import { drawBars } from "./bars.js";

const AGAIN_MS = 15000;
const PATIENCE_MS = 30000; // a network may swallow what is sent
const TICK_MS = 5000;
const FORGET_MINUTES = 5; // without contact for so long, what was said of the place no longer holds
const PLACE_ZOOM = 8;
const byId = (id) => document.getElementById(id);

const state = createState(location.search);
const show = new URLSearchParams(location.search).get("show") ?? "all"; // all, place (the sentence alone), map
const hasPlace = state.place !== null && show !== "map";
const hasMap = state.place === null || show !== "place";
let contact = Date.now(); // when the service last gave all that is shown
let problem = null; // of what was asked for since
let turn = 0;

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

// Drawn again and again, as what is shown gets older.
function drawHead() {
  const { source, place } = state;
  if (!source) {
    tell(problem ? wordsOf(problem) : "", "bad");
    return;
  }
  const name = place?.name ?? source.name;
  const minutes = source.isLive ? (Date.now() - contact) / 60000 : 0;
  const { level, words, sentence } = freshness(source, minutes);
  byId("embed-title").textContent = name;
  document.title = text("share.reportTitle", { place: name });
  byId("embed-age").textContent = words;
  byId("embed-age").className = `chip ${level}`;
  byId("embed-open").href = `./${state.address()}`;
  if (minutes >= FORGET_MINUTES) {
    byId("embed-sentence").textContent = "";
    byId("embed-bars").replaceChildren();
  }
  if (problem) tell([wordsOf(problem), sentence].filter(Boolean).join(". "), "bad");
  else tell(sentence, level);
}

const wordsOf = ({ title, hint }) => [title ?? text("problem.unreachable"), hint].filter(Boolean).join(". ");

function tell(words, level) {
  const element = byId("embed-problem");
  if (element.textContent !== words) element.textContent = words;
  element.className = `notice ${level}`;
  element.hidden = !words;
}

function drawPlace(answer, source) {
  const outside = answer.coverage === "no_coverage";
  byId("embed-sentence").textContent = outside ? text("share.outside") : answer.sentence;
  if (outside) byId("embed-bars").replaceChildren();
  else drawBars(byId("embed-bars"), answer.forecast, source.layers[0].legend);
}

async function take(source) {
  const { at, place } = state;
  const mine = ++turn;
  state.set({ source, frame: at ? source.frameAt(at) : source.opensWith(state.layer) });
  drawHead();
  const asked = hasPlace ? source.point(place.lat, place.lon, { signal: AbortSignal.timeout(PATIENCE_MS) }) : Promise.resolve(null);
  const answer = await asked.catch((failure) => { if (mine === turn) throw failure; });
  if (mine !== turn) return;
  if (answer) drawPlace(answer, source);
  contact = Date.now();
  problem = null;
  drawHead();
}

async function open() {
  try {
    const source = await found();
    await take(source);
    source.subscribe((next, failure) => (next ? take(next).catch(fail) : fail(failure)));
  } catch (failure) {
    fail(failure);
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

function fail(failure) {
  problem = failure;
  drawHead();
}

open();
setInterval(drawHead, TICK_MS);
