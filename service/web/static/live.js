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
import { localTime } from "./map/frame_words.js";
import { timeBar } from "./map/time_bar.js";
import { language, text } from "./messages.js";
import { attach as attachPlace } from "./place/place.js";
import { attach as attachPush } from "./push/push.js";
import { attach as attachShare } from "./share/share.js";
import { feeds, feedSource, newestOf } from "./sources/feed.js";
import { nowcastSource } from "./sources/nowcast.js";
import { createState } from "./state.js";

const AGAIN_MS = { unreachable: 5000, refused: 30000 };
const FEEDS_MS = 60000; // the list of feeds may change
const byId = (id) => document.getElementById(id);

const state = createState(location.search);
const map = makeMap(byId("map"), state);
attachGround(map);
const frames = drawFrames(map, state);
const play = player(state, frames);
const known = { feeds: [], contact: Date.now(), gone: null };
const bar = sourceBar(byId("source"), byId("notice"), state, {
  feeds: () => known.feeds,
  contact: () => (Date.now() - known.contact) / 60000,
  gone: () => (state.at === null ? known.gone : null),
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
let again = 0; // the timer of the next attempt

// A new snapshot: the time that the user chose, or that plays, is kept until it is over, else the map follows the feed.
function show(source) {
  known.contact = Date.now();
  byId("empty").hidden = source.frames.length > 0;
  if (!source.frames.length) showSentence(text("live.noFrames"), source.status.reason, language, "en");
  const { at } = state;
  const time = play.isPlaying ? state.frame?.valid_time : at;
  const over = play.isPlaying || at === null ? null : whyOver(source, at);
  const frame = time && !over ? source.frameAt(time) : source.opensWith(state.layer);
  if (frame?.id !== state.frame?.id) known.gone = over === "gone" ? text("live.timeGone", { time: wordsOf(at) }) : null;
  state.set({ source, frame, problem: null, ...(over ? { at: null } : {}) });
}

// Why a time that the user chose is not kept: it is "gone" from the frames of a feed, or a forecast has been "observed".
function whyOver(source, at) {
  if (!source.isLive || !source.frames.length) return null;
  if (new Date(at) < new Date(source.frames[0].valid_time)) return "gone";
  return state.frame?.kind === "forecast" && source.frameAt(at).kind === "observed" ? "observed" : null;
}

function wordsOf(time) {
  const { day, clock } = localTime(time);
  return `${day} ${clock}`.trim();
}

async function open() {
  const mine = ++opening;
  clearTimeout(again);
  stop();
  stop = () => {};
  state.set({ source: null, frame: null, problem: null });
  try {
    const source = await (state.nowcast ? nowcastSource(state.nowcast) : openFeed());
    if (mine !== opening) return;
    if (source === null) {
      showSentence(text("live.noFeeds"), text("live.noFeedsHint"));
      again = setTimeout(open, AGAIN_MS.refused);
      return;
    }
    show(source);
    stop = source.subscribe((next, problem) => (next ? show(next) : lose(problem)));
  } catch (problem) {
    if (mine === opening && fail(problem)) {
      again = setTimeout(open, problem.status === 0 || problem.status >= 500 ? AGAIN_MS.unreachable : AGAIN_MS.refused);
    }
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

async function renewFeeds() {
  if (state.nowcast || document.hidden) return;
  known.feeds = await feeds().catch(() => known.feeds);
  bar.draw();
}

// What is shown stays, with its age; the bar tells when there was no contact for long. The source itself asks again.
function lose(problem) {
  if (problem.status === 404) fail(problem);
  bar.draw();
}

// A nowcast that is not there to be seen, as it is not finished or failed, is told of by the page of uploads. Returns
// whether it may be there later.
function fail(problem) {
  const isOff = problem.type?.endsWith("/not-on-earth");
  if (state.nowcast && problem.status >= 400 && problem.status < 500 && problem.status !== 429 && !isOff) {
    location.replace(`upload?nowcast=${encodeURIComponent(state.nowcast)}`);
    return false;
  }
  state.set({ source: null, frame: null, problem });
  if (isOff) {
    showSentence(text("live.notOnEarth"), text("live.notOnEarthHint"));
    showAnimation(byId("empty-picture"), state.nowcast).catch(() => {}); // the sentence stands
    return false;
  }
  const spoken = problem.type ? "en" : language; // the service's own words, or the page's
  showSentence(problem.title ?? text("problem.page"), [problem.detail, problem.hint].filter(Boolean).join(" "), spoken, spoken);
  return true;
}

function showSentence(title, detail, titleLanguage = language, detailLanguage = language) {
  Object.assign(byId("empty-title"), { textContent: title, lang: titleLanguage });
  Object.assign(byId("empty-detail"), { textContent: detail, lang: detailLanguage });
  byId("empty").hidden = false;
}

state.on("feed", () => {
  if (state.feed === opened) return;
  state.set({ at: null, view: null });
  open();
});
setInterval(renewFeeds, FEEDS_MS);
open();
