// Rain at one place: summary, chart, table.

import * as api from "./api.js";
import { certainty, details, explanation, isBeyondScored } from "./certainty.js";
import { drawChart, fillTable } from "./chart.js";
import { clockUtc, local, rain } from "./format.js";

const byId = (id) => document.getElementById(id);

// The summary as a sentence. The state is "dry" only where every forecast frame has data.
export function sentence({ summary, series, unit, reference_time: reference }) {
  const { state, starts, ends, peak, peak_time: peakTime, frames_without_data: missing } = summary;
  const clock = (time) => `${clockUtc(time)} UTC`;
  const last = series[series.length - 1].valid_time;
  const minutesAhead = (time) => Math.round((new Date(time) - new Date(reference)) / 60000);
  const heaviest = peak === null ? "" : ` Heaviest: ${rain(peak, unit)} at ${clock(peakTime)}.`;
  const gaps = missing ? ` No data in ${missing} of the forecast frames: rain at those times is not known.` : "";
  if (state === "no-data") return "No data at this place: whether it rains is not known.";
  if (state === "dry") return `Dry until ${clock(last)} according to this forecast.`;
  if (state === "dry-where-known") return `No rain in the frames with data.${gaps}`;
  if (state === "rain-coming") {
    const stop = ends ? `, until about ${clock(ends)}` : "";
    return `Rain starts at ${clock(starts)} (${local(starts)}), ${minutesAhead(starts)} min after the reference time${stop}.${heaviest}${gaps}`;
  }
  if (!ends) return missing ? `Raining at the reference time.${heaviest}${gaps}` : `Raining until at least ${clock(last)}.${heaviest}`;
  const again = starts ? `, and again from ${clock(starts)}` : "";
  return `Raining until about ${clock(ends)}${again}.${heaviest}${gaps}`;
}

export function pointPanel({ onPick, onPlace }) {
  let id = null;
  let legends = null;
  let chart = null;
  let frame = 0;
  let request = null;
  let scored = null;
  let shown = null;

  function draw() {
    if (!shown) return;
    const rows = details(shown);
    byId("point-summary").textContent = certainty(shown) || sentence(shown);
    byId("point-details").replaceChildren(...rows.map(row));
    byId("point-details").hidden = !rows.length;
    byId("point-note").textContent = noteOf(shown);
    byId("point-note").hidden = !byId("point-note").textContent;
    chart = drawChart(byId("chart"), shown, legends, { onPick, scored });
    chart.follow(frame);
  }

  // Below the sentence of the members stands that of the field, which the bars show.
  function noteOf(point) {
    const field = certainty(point) ? `The ${point.field === "deterministic" ? "single" : point.field} field: ${sentence(point)}` : "";
    const unscored = isBeyondScored(point, scored) ? `Times later than ${scored} min ahead were not scored.` : "";
    return [explanation(point), unscored, field].filter(Boolean).join(" ");
  }

  async function load(query) {
    request?.abort();
    request = new AbortController();
    byId("point-summary").textContent = "Reading the rain at this place…";
    if (query.x !== undefined) onPlace(query.x, query.y);
    try {
      const point = await api.point(id, query, request.signal);
      byId("point-title").textContent = point.lon === null ? "Rain at one place" : `Rain at ${coordinates(point)}`;
      shown = point;
      draw();
      fillTable(byId("point-table"), point);
      byId("point-table-box").hidden = false;
      byId("lon").value = point.lon?.toFixed(4) ?? "";
      byId("lat").value = point.lat?.toFixed(4) ?? "";
      onPlace(point.x, point.y);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      clear(`${problem.detail || problem.title}`);
    }
  }

  function clear(message) {
    byId("point-title").textContent = "Rain at one place";
    byId("point-summary").textContent = message;
    byId("chart").replaceChildren();
    for (const part of ["point-details", "point-note", "point-table-box"]) byId(part).hidden = true;
    chart = null;
    shown = null;
    onPlace(null);
  }

  byId("lonlat").addEventListener("submit", (event) => {
    event.preventDefault();
    const [lon, lat] = [byId("lon").value, byId("lat").value].map((text) => Number.parseFloat(text.replace(",", ".")));
    if (Number.isNaN(lon) || Number.isNaN(lat)) {
      clear("Enter longitude and latitude as numbers, for example 5.12 and 52.09.");
      return;
    }
    load({ lon, lat });
  });

  return {
    open(nowcastId, { legend, probability }) {
      id = nowcastId;
      legends = { rain: legend, probability: probability?.legend };
      scored = null;
      request?.abort();
      clear("Click the map, or enter longitude and latitude.");
    },
    load,
    fade(minutes) {
      scored = minutes;
      draw();
    },
    follow(index) {
      frame = index;
      chart?.follow(index);
    },
  };
}

function row([what, value]) {
  const item = document.createElement("div");
  const term = document.createElement("dt");
  const description = document.createElement("dd");
  term.textContent = what;
  description.textContent = value;
  item.append(term, description);
  return item;
}

const coordinates = ({ lon, lat }) =>
  `${Math.abs(lat).toFixed(3)}°${lat < 0 ? "S" : "N"}, ${Math.abs(lon).toFixed(3)}°${lon < 0 ? "W" : "E"}`;
