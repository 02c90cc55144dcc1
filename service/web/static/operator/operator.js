// The operator's page: is everything all right, the feeds, the nowcasts, the models, the keys. It refreshes by itself.

import { json } from "../api.js";
import { follow } from "../events.js";
import { askForKey } from "../key.js";
import { text } from "../messages.js";
import { patiently } from "../patience.js";
import { node, problemCard } from "./elements.js";
import { drawFeeds } from "./feeds.js";
import { jobList } from "./jobs.js";
import { drawKeys } from "./keys.js";
import { drawModels } from "./models.js";
import { drawVerdict } from "./verdict.js";

const REFRESH_MS = 10000;
const HIDDEN_MS = 60000; // the title of the tab tells what is wrong
const SETTLE_MS = 400; // several events at once make one refresh

const byId = (id) => document.getElementById(id);
const room = (id) => byId(id).querySelector(".room");
const seen = { overview: null, champion: null, connected: true, since: null };
const loadJobs = jobList(room("jobs"));
let timer = null;
let loading = null;

// With a key that lacks the scope, another one is asked for; the requests wait for it.
async function permitted(load) {
  for (;;) {
    try {
      return await load();
    } catch (problem) {
      if (problem.status !== 403) throw problem;
      hide();
      await askForKey(problem);
    }
  }
}

function hide() {
  for (const id of ["verdict", "rooms", "read-only"]) byId(id).hidden = true;
}

async function loadAll(signal) {
  const get = (path) => json(path, { signal });
  const overview = await permitted(() => get("v1/overview"));
  const [champion, models, keys] = await Promise.all([get("v1/champion"), get("v1/models"), get("v1/keys")]);
  Object.assign(seen, { overview, champion, connected: true, since: new Date().toISOString() });
  byId("rooms").hidden = false;
  showReadOnly(overview.operator.may_change);
  verdict();
  drawFeeds(room("feeds"), overview, refresh);
  const feeds = overview.feeds.map((each) => each.feed.name);
  drawModels(room("models"), { models: models.models, champion, feeds, mayChange: overview.operator.may_change }, refresh);
  drawKeys(room("keys"), keys.keys, overview.operator, refresh);
  await loadJobs(overview.operator.may_change, signal);
}

function verdict() {
  if (!seen.overview) return;
  drawVerdict(byId("verdict"), seen.overview, seen.champion, seen);
  byId("rooms").classList.toggle("old", !seen.connected);
}

function showReadOnly(mayChange) {
  byId("read-only").hidden = mayChange;
  if (!mayChange && !byId("read-only").childElementCount) {
    byId("read-only").append(text("operator.readOnly"), " ", node("code", { translate: false }, "echocast keys create NAME --scope admin"));
  }
}

// Loads everything, once at a time; again at intervals, and soon after an event.
async function refresh() {
  clearTimeout(timer);
  loading ??= patiently(loadAll).catch(lost).finally(() => { loading = null; });
  await loading;
  schedule(document.hidden ? HIDDEN_MS : REFRESH_MS);
}

function schedule(delay) {
  clearTimeout(timer);
  timer = setTimeout(refresh, delay);
}

function lost(problem) {
  seen.connected = false;
  if (seen.overview) verdict();
  else {
    byId("verdict").hidden = false;
    byId("verdict").replaceChildren(problemCard(problem));
  }
}

const soon = () => schedule(SETTLE_MS);
await refresh();
const isShown = (name) => seen.overview?.feeds.some((each) => each.feed.name === name);
follow("v1/feeds/events", {
  feed: ({ changes, feed }) => { if (changes.length || !isShown(feed.name)) soon(); },
  removed: soon,
}, { onState: (connected) => { if (connected !== seen.connected) soon(); } });
document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
