// A live radar: its observed frames of two hours and the forecast that is to come. It is asked for what is new.

import { json } from "../api.js";
import { follow as followEvents } from "../events.js";
import { Source, tileJson } from "./source.js";

const POLL_MS = 15000; // where no events arrive
const REFRESH_MS = 60000; // lead steps pass without an event

export const feeds = async () => (await json("v1/feeds")).feeds;

const pathOf = (name) => `v1/feeds/${encodeURIComponent(name)}`;

// The feed that opens by itself: the one with the newest nowcast.
export function newestOf(list) {
  const time = ({ latest }) => new Date(latest?.reference_time ?? 0).getTime();
  return list.reduce((best, feed) => (best === null || time(feed) > time(best) ? feed : best), null);
}

// A snapshot of a feed, of another model where one is given; without frames where none has arrived.
export async function feedSource(name, model = null) {
  return new Source("feed", name, await tilesOf(name, model), {
    path: pathOf(name),
    follow: (onChange) => follow(name, onChange),
    of: (other) => feedSource(name, other),
  });
}

async function tilesOf(name, model) {
  try {
    return await tileJson(pathOf(name), model);
  } catch (problem) {
    if (problem.status !== 404 || !problem.type.endsWith("/no-such-frame")) throw problem;
    const { status, reason, age_minutes, interval_minutes } = await json(pathOf(name));
    return { name, status, reason, age_minutes, interval_minutes, frames: [], layers: [], missing: [], models: [], reference_time: null, now: new Date().toISOString() };
  }
}

// Asks for the feed whenever an event tells of a change, and now and then. The newest answer counts.
function follow(name, onChange) {
  let timer = null;
  let stopped = false;
  let asked = 0;
  let isConnected = false;
  let events = 0;

  async function ask() {
    const mine = ++asked;
    clearTimeout(timer);
    try {
      const source = await feedSource(name);
      if (!stopped && mine === asked) onChange(source);
    } catch (problem) {
      if (!stopped && mine === asked) onChange(null, problem);
    }
    if (mine === asked) wait();
  }

  function wait() {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(ask, isConnected ? REFRESH_MS : POLL_MS);
  }

  const end = followEvents(`v1/feeds/events?feed=${encodeURIComponent(name)}`, {
    feed: () => { if (++events > 1) ask(); }, // the first one tells what is known
    removed: ask,
  }, { onState: (connected) => { if (connected !== isConnected) { isConnected = connected; wait(); } } });
  wait();
  return () => {
    stopped = true;
    clearTimeout(timer);
    end();
  };
}
