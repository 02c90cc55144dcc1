// The forecast for a place, by feed or nowcast, in one shape.

import { json } from "../api.js";
import { language } from "../messages.js";

const timeZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

// Returns the answer of a feed's /point, for an upload as well: `past` and `forecast`; outside of the grid no coverage.
export async function pointOf(path, lat, lon, { model, signal } = {}) {
  const query = { lon, lat, language, time_zone: timeZone(), ...(model ? { model } : {}) };
  try {
    const { series, ...answer } = await json(`${path}/point?${new URLSearchParams(query)}`, { signal });
    return series ? { ...answer, ...byKind(series) } : answer;
  } catch (problem) {
    if (!problem.type?.endsWith("/outside-grid")) throw problem;
    return { coverage: "no_coverage", past: [], forecast: [] };
  }
}

const byKind = (series) => ({
  past: series.filter(({ kind }) => kind === "observed"),
  forecast: series.filter(({ kind }) => kind === "forecast"),
});
