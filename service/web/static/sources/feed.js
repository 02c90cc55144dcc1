// A live radar: its observed frames of two hours and the forecast that is to come. It is asked for what is new.

import { json } from "../api.js";
import { pointOf } from "./point.js";
import { Source, tileJson } from "./source.js";

const POLL_MS = 15000;

export const feeds = async () => (await json("v1/feeds")).feeds;

const pathOf = (name) => `v1/feeds/${encodeURIComponent(name)}`;

// The feed that opens by itself: the one with the newest nowcast.
export function newestOf(list) {
  const time = ({ latest }) => new Date(latest?.reference_time ?? 0).getTime();
  return list.reduce((best, feed) => (best === null || time(feed) > time(best) ? feed : best), null);
}

// A snapshot of a feed; without frames where none has arrived.
export async function feedSource(name) {
  return new Source("feed", name, await tilesOf(name), {
    point: (lat, lon, options) => pointOf(pathOf(name), lat, lon, options),
    follow: (onChange) => follow(name, onChange),
  });
}

async function tilesOf(name) {
  try {
    return await tileJson(pathOf(name));
  } catch (problem) {
    if (problem.status !== 404 || !problem.type.endsWith("/no-such-frame")) throw problem;
    const { status, reason, age_minutes, interval_minutes } = await json(pathOf(name));
    return { name, status, reason, age_minutes, interval_minutes, frames: [], layers: [], missing: [], models: [], reference_time: null, now: new Date().toISOString() };
  }
}

function follow(name, onChange) {
  let timer = null;
  let stopped = false;
  const ask = async () => {
    try {
      const source = await feedSource(name);
      if (!stopped) onChange(source);
    } catch (problem) {
      if (!stopped) onChange(null, problem);
    }
    if (!stopped) timer = setTimeout(ask, POLL_MS);
  };
  timer = setTimeout(ask, POLL_MS);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
