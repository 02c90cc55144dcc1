// The charts of a feed's scores, each with its table.

import { number, text } from "../messages.js";
import { barChart } from "./bars.js";
import { reliabilityDiagram } from "./diagram.js";
import { lineChart } from "./lines.js";
import { paragraph, table } from "./tables.js";
import { namesOf, ofHundred, rate, scoreAt, withInterval } from "./words.js";

const byId = (id) => document.getElementById(id);
const MOST_STYLES = 6;

const rowsOf = (skill) => skill.models[0].events.map((_, row) => row);
const columnsOf = (skill) => skill.lead_minutes.map((_, column) => column);

// Scores of each model at several [row, column], as lines.
function seriesOf(skill, score, places) {
  const names = namesOf(skill.models.map(({ model }) => model));
  return skill.models.map((model, index) => {
    const found = places.map(([row, column]) => scoreAt(model, score, row, column));
    const part = (name) => found.map((each) => each?.[name] ?? null);
    return { name: names[model.model], style: index % MOST_STYLES, values: part("value"), low: part("low"), high: part("high"), found };
  });
}

function drawLines(box, tableBox, { series, label, yTitle, head, x }) {
  const titles = x.labels.map((_, index) => [
    x.names[index], ...series.map(({ name, found }) => `${name}: ${withInterval(found[index])}`),
  ].join("\n"));
  lineChart(box, { label, yTitle, x, series, titles });
  const rows = x.names.map((name, index) => [name, ...series.map(({ found }) => withInterval(found[index]))]);
  tableBox.replaceChildren(table(label, [head, ...series.map(({ name }) => name)], rows));
}

export function drawBars(skill, { row, column }) {
  const bars = seriesOf(skill, "csi", [[row, column]]).filter(({ found: [csi] }) => csi);
  const of = bars.map(({ name, style, found: [csi] }) => ({ name, style, ...csi, words: `${name}: ${withInterval(csi)}` }));
  if (of.length) barChart(byId("bars"), { label: of.map(({ words }) => words).join(", "), bars: of });
  else byId("bars").replaceChildren();
}

export function drawByLead(skill, { row, column, score }, onPick) {
  const threshold = rate(skill.models[0].events[row].threshold_mm_h);
  const leads = skill.lead_minutes;
  drawLines(byId("lead-chart"), byId("lead-table"), {
    series: seriesOf(skill, score, columnsOf(skill).map((each) => [row, each])),
    label: text("skill.byLeadLabel", { score: text(`skill.score.${score}`), threshold }),
    yTitle: text("skill.ofHundred", { score: text(`skill.score.${score}`) }),
    head: text("skill.lead"),
    x: {
      positions: leads,
      labels: leads.map((minutes) => number(minutes)),
      names: leads.map((minutes) => text("skill.minutes", { minutes: number(minutes) })),
      title: text("skill.leadAxis"),
      marked: column,
      onPick: (index) => onPick({ lead: leads[index] }),
    },
  });
}

export function drawByThreshold(skill, { row, column, score }, onPick) {
  const thresholds = skill.models[0].events.map(({ threshold_mm_h: threshold }) => threshold);
  const lead = number(skill.lead_minutes[column]);
  drawLines(byId("threshold-chart"), byId("threshold-table"), {
    series: seriesOf(skill, score, rowsOf(skill).map((each) => [each, column])),
    label: text("skill.byThresholdLabel", { score: text(`skill.score.${score}`), lead }),
    yTitle: text("skill.ofHundred", { score: text(`skill.score.${score}`) }),
    head: text("skill.threshold"),
    x: {
      positions: rowsOf(skill),
      labels: thresholds.map(rate),
      names: thresholds.map((threshold) => text("skill.rate", { threshold: rate(threshold) })),
      title: text("skill.thresholdAxis"),
      marked: row,
      onPick: (index) => onPick({ threshold: thresholds[index] }),
    },
  });
  const dry = thresholds.filter((_, index) => skill.models.every((model) => scoreAt(model, score, index, column) === null));
  byId("threshold-note").textContent = dry.length ? text("skill.noneSoHeavy", { thresholds: dry.map(rate).join(", ") }) : "";
}

export function drawReliability(found, models) {
  const box = byId("reliability-chart");
  byId("reliability-table").replaceChildren();
  if (!found.curves.length) {
    box.replaceChildren(paragraph(text("skill.noProbabilities"), "hint"));
    byId("reliability-values").hidden = true;
    return;
  }
  byId("reliability-values").hidden = false;
  const names = namesOf(models);
  const curves = found.curves.map(({ model, calibration, points }) => ({
    name: calibration === "published" ? names[model] : text("skill.uncalibrated", { name: names[model] }),
    style: calibration === "published" ? models.indexOf(model) % MOST_STYLES : MOST_STYLES - 1,
    points: points.map((point) => ({ ...point, title: pointTitle(point) })),
  }));
  reliabilityDiagram(box, {
    label: text("skill.reliabilityLabel", { threshold: rate(found.curves[0].threshold_mm_h) }),
    yTitle: text("skill.observedAxis"),
    xTitle: text("skill.forecastAxis"),
    perfect: text("skill.perfect"),
    countTitle: text("skill.counts", { name: curves[0].name }),
    countText: (pixels) => number(pixels, { notation: "compact", compactDisplay: "long" }),
    curves,
  });
  byId("reliability-table").replaceChildren(...curves.map(({ name, points }) => table(
    text("skill.reliabilityCaption", { name }),
    [text("skill.forecastShare"), text("skill.observedShare"), text("skill.pixels")],
    points.map(({ forecast, observed, pixels }) => [ofHundred(forecast), ofHundred(observed), number(pixels)]),
  )));
}

const pointTitle = ({ forecast, observed, pixels }) =>
  text("skill.point", { forecast: ofHundred(forecast), observed: ofHundred(observed), pixels: number(pixels) });
