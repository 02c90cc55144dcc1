// One place: its answer in words, its chart, its numbers.

import * as api from "./api.js";
import { drawChart, fillTable } from "./chart.js";
import { clockUtc, local, rain } from "./format.js";

const at = (id) => document.getElementById(id);

// The words for a summary. "Dry" is said only where every forecast frame is known.
export function sentence({ summary, series, unit, reference_time: reference }) {
  const { state, starts, ends, peak, peak_time: peakTime, frames_without_data: missing } = summary;
  const clock = (time) => `${clockUtc(time)} UTC`;
  const last = series[series.length - 1].valid_time;
  const within = (time) => Math.round((new Date(time) - new Date(reference)) / 60000);
  const most = peak === null ? "" : ` Heaviest: ${rain(peak, unit)} at ${clock(peakTime)}.`;
  const gaps = missing ? ` No data in ${missing} of the forecast's frames: rain then is not known.` : "";
  if (state === "no-data") return "No data here: whether it rains is not known.";
  if (state === "dry") return `Dry until ${clock(last)}, by this forecast.`;
  if (state === "dry-where-known") return `No rain in the frames that are known.${gaps}`;
  if (state === "rain-coming") {
    const stop = ends ? `, until about ${clock(ends)}` : "";
    return `Rain starts at ${clock(starts)} (${local(starts)}), ${within(starts)} min after the reference time${stop}.${most}${gaps}`;
  }
  if (!ends) return missing ? `Raining at the reference time.${most}${gaps}` : `Raining, and on until ${clock(last)} at least.${most}`;
  const again = starts ? `, and again from ${clock(starts)}` : "";
  return `Raining, until about ${clock(ends)}${again}.${most}${gaps}`;
}

export function pointPanel({ onPick, onPlace }) {
  let id = null;
  let legend = null;
  let chart = null;
  let frame = 0;
  let request = null;

  async function ask(query) {
    request?.abort();
    request = new AbortController();
    at("point-answer").textContent = "Reading the rain at this place…";
    if (query.x !== undefined) onPlace(query.x, query.y);
    try {
      const point = await api.point(id, query, request.signal);
      at("point-title").textContent = point.lon === null ? "Rain at one place" : `Rain at ${coordinates(point)}`;
      at("point-answer").textContent = sentence(point);
      chart = drawChart(at("chart"), point, legend, { onPick });
      chart.follow(frame);
      fillTable(at("point-table"), point);
      at("point-table-box").hidden = false;
      at("lon").value = point.lon?.toFixed(4) ?? "";
      at("lat").value = point.lat?.toFixed(4) ?? "";
      onPlace(point.x, point.y);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      clear(`${problem.detail || problem.title}`);
    }
  }

  function clear(words) {
    at("point-title").textContent = "Rain at one place";
    at("point-answer").textContent = words;
    at("chart").replaceChildren();
    at("point-table-box").hidden = true;
    chart = null;
    onPlace(null);
  }

  at("lonlat").addEventListener("submit", (event) => {
    event.preventDefault();
    const [lon, lat] = [at("lon").value, at("lat").value].map((text) => Number.parseFloat(text.replace(",", ".")));
    if (Number.isNaN(lon) || Number.isNaN(lat)) {
      clear("Give longitude and latitude as numbers, for example 5.12 and 52.09.");
      return;
    }
    ask({ lon, lat });
  });

  return {
    open(nowcastId, nowcastLegend) {
      id = nowcastId;
      legend = nowcastLegend;
      request?.abort();
      clear("Click the map, or give a longitude and latitude.");
    },
    ask,
    follow(index) {
      frame = index;
      chart?.follow(index);
    },
  };
}

const coordinates = ({ lon, lat }) =>
  `${Math.abs(lat).toFixed(3)}°${lat < 0 ? "S" : "N"}, ${Math.abs(lon).toFixed(3)}°${lon < 0 ? "W" : "E"}`;
