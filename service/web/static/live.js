// The page of the map: opens what the address names, or the feed with the newest nowcast, and joins the rooms of the page.

import { attachGround } from "./ground/ground.js";
import { showAnimation } from "./map/animation.js";
import { compareModels } from "./map/compare.js";
import { drawFrames } from "./map/frames.js";
import { layerChooser } from "./map/layer_chooser.js";
import { makeMap, pictureMark } from "./map/map.js";
import { drawMotion } from "./map/motion.js";
import { player } from "./map/player.js";
import { sourceBar } from "./map/source_bar.js";
import { timeBar } from "./map/time_bar.js";
import { text } from "./messages.js";
import { attach as attachPlace } from "./place/place.js";
import { attach as attachPush } from "./push/push.js";
import { attach as attachShare } from "./share/share.js";
import { feeds, feedSource, newestOf } from "./sources/feed.js";
import { nowcastSource } from "./sources/nowcast.js";
import { createState } from "./state.js";

const AGAIN_MS = 5000;
const byId = (id) => document.getElementById(id);

const state = createState(location.search);
const map = makeMap(byId("map"), state);
attachGround(map);
const frames = drawFrames(map, state);
const play = player(state, frames);
const known = { feeds: [], contact: Date.now() };
const bar = sourceBar(byId("source"), byId("notice"), state, {
  feeds: () => known.feeds,
  contact: () => (Date.now() - known.contact) / 60000,
});
pictureMark(byId("map-mark"), byId("map"), state, frames);
drawMotion(map, state);
compareModels(byId("compare"), map, state, frames);
layerChooser(byId("layers-room"), byId("legend"), map, state);
timeBar(byId("time"), state, play, frames);
attachPlace(byId("place"), state, map);
byId("place-values")?.before(byId("push")); // on the card of the place
attachPush(byId("push"), state, () => byId("place-title")?.textContent);
attachShare(byId("share"), state, map);

let opening = 0;
let opened = null; // the name of the feed
let stop = () => {};

// A new snapshot: the time that the user chose, or that plays, is kept, else the newest observed frame follows.
function show(source) {
  known.contact = Date.now();
  byId("empty").hidden = source.frames.length > 0;
  if (!source.frames.length) showSentence(text("live.noFrames"), source.status.reason);
  const time = play.isPlaying ? state.frame?.valid_time : state.at;
  const frame = time ? source.frameAt(time) : source.newest();
  state.set({ source, frame, problem: null });
}

async function open() {
  const mine = ++opening;
  stop();
  state.set({ source: null, frame: null, problem: null });
  try {
    const source = await (state.nowcast ? nowcastSource(state.nowcast) : openFeed());
    if (mine !== opening) return;
    if (source === null) {
      showSentence(text("live.noFeeds"), text("live.noFeedsHint"));
      return;
    }
    show(source);
    stop = source.subscribe((next, problem) => (next ? show(next) : lose(problem)));
  } catch (problem) {
    if (mine === opening) fail(problem);
  }
  bar.draw();
}

// The feed of the address, or the one with the newest nowcast; null where there is no feed.
async function openFeed() {
  known.feeds = await feeds();
  const name = state.feed ?? newestOf(known.feeds)?.name;
  if (!name) return null;
  opened = name;
  state.set({ feed: name });
  return feedSource(name);
}

// What is shown stays, with its age; the bar tells when there was no contact for long.
function lose(problem) {
  if (problem.status === 404) fail(problem);
  bar.draw();
}

// A nowcast that is not there to be seen, as it is not finished or failed, is told of by the page of uploads.
function fail(problem) {
  if (state.nowcast && problem.status >= 400 && problem.status < 500 && !problem.type.endsWith("/not-on-earth")) {
    location.replace(`upload?nowcast=${encodeURIComponent(state.nowcast)}`);
    return;
  }
  state.set({ source: null, frame: null, problem });
  if (problem.type?.endsWith("/not-on-earth")) {
    showSentence(text("live.notOnEarth"), text("live.notOnEarthHint"));
    showAnimation(byId("empty-picture"), state.nowcast).catch(() => {}); // the sentence stands
    return;
  }
  showSentence(problem.title, [problem.detail, problem.hint].filter(Boolean).join(" "));
  if (problem.status === 0 || problem.status >= 500) setTimeout(open, AGAIN_MS);
}

function showSentence(title, detail) {
  byId("empty-title").textContent = title;
  byId("empty-detail").textContent = detail;
  byId("empty").hidden = false;
}

state.on("feed", () => {
  if (state.feed === opened) return;
  state.set({ at: null, view: null });
  open();
});
open();
