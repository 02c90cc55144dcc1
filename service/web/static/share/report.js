// The printed page: the map as a picture, its time, the sentence and the numbers of the place, and where they come from.

import { node } from "../dom.js";
import { clock, date, language, number, text } from "../messages.js";
import { coordinates } from "../place/search.js";
import { mapDrawn, mapPicture, sourceLine, timeLine } from "./picture.js";

const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
const ROWS = 24; // of the table: what fits on the page

const rate = (value) => (value === null ? text("share.noData") : number(value, { maximumFractionDigits: 1 }));
const percent = (value) => (value === null || value === undefined ? "" : `${number(100 * value, { maximumFractionDigits: 0 })} %`);

// Builds the report, prints it, and removes it.
export async function printReport(map, state) {
  const report = await makeReport(map, state);
  document.body.append(report);
  await report.querySelector("img").decode();
  window.print();
  report.remove();
}

export async function makeReport(map, state) {
  const { place, source } = state;
  const answer = place ? await source.point(place.lat, place.lon, { language, timeZone }) : null;
  const title = place?.name ?? (place ? coordinates(place) : source.isLive ? source.name : text("source.upload"));
  await mapDrawn(map);
  return node("section", { id: "report", className: "report" },
    node("h1", { textContent: text("share.reportTitle", { place: title }) }),
    node("p", { textContent: timeLine(state) }),
    answer && node("p", { className: "report-sentence", textContent: answer.coverage === "no_coverage" ? text("share.outside") : answer.sentence }),
    node("img", { src: mapPicture(map, state).toDataURL("image/png"), alt: text("share.picture") }),
    answer?.forecast?.length ? table(answer.forecast) : null,
    node("p", { className: "report-source", textContent: [sourceLine(state), source.status.reason, source.note].filter(Boolean).join(" · ") }),
    node("p", { className: "report-source", textContent: text("share.printed", { time: `${date(new Date(), { dateStyle: "medium" })} ${clock(new Date())}`, address: `${location.origin}${location.pathname}${state.address({ places: null })}` }) }));
}

// Of the times that one row of the table stands for: so the peak is never left out.
const heaviest = (values) => values.reduce((best, value) => ((value.rain_rate ?? -1) > (best.rain_rate ?? -1) ? value : best));

function table(forecast) {
  const hasProbability = forecast.some(({ probability_of_rain: probability }) => probability !== null && probability !== undefined);
  const heads = ["share.localTime", "share.utc", "share.rate", ...(hasProbability ? ["share.probability"] : [])];
  const step = Math.ceil(forecast.length / ROWS);
  const rows = Array.from({ length: Math.ceil(forecast.length / step) }, (_, index) => heaviest(forecast.slice(index * step, (index + 1) * step)));
  return node("table", {},
    node("thead", {}, node("tr", {}, ...heads.map((key) => node("th", { scope: "col", textContent: text(key) })))),
    node("tbody", {}, ...rows.map((value) => node("tr", {},
      node("td", { textContent: clock(value.valid_time) }),
      node("td", { textContent: clock(value.valid_time, { timeZone: "UTC" }) }),
      node("td", { textContent: rate(value.rain_rate) }),
      hasProbability && node("td", { textContent: percent(value.probability_of_rain) })))));
}
