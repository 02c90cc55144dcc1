// How good is it: what the forecasts of a feed were worth, or the measured scores of an installed model.

import * as api from "../api.js";
import { number, text } from "../messages.js";
import { patiently } from "../patience.js";
import { drawCard } from "./card.js";
import { drawBars, drawByLead, drawByThreshold, drawReliability } from "./charts.js";
import { addressOf, nearest, readChoice, SCORES } from "./choice.js";
import { drawCompared, drawOfScores, drawOrigins, drawSubjects, drawWindows, radios } from "./controls.js";
import { basis, sentences } from "./words.js";
import { paragraph } from "./tables.js";
import { drawWarnings } from "./warnings.js";

const REFRESH_MS = 60_000;
const MOST_RELIABILITY_HOURS = 192;
const LEAD_MINUTES = 30; // what is shown first, or what is nearest to it
const THRESHOLD_MM_H = 0.5;

const byId = (id) => document.getElementById(id);
const feedPath = (name) => `v1/feeds/${encodeURIComponent(name)}`;

let choice = readChoice(location.search);
let feeds = null; // not known yet
let loading = new AbortController();
let redraw = () => {};

async function start() {
  const paths = ["v1/feeds", "v1/models"];
  const [listed, installed] = await patiently((signal) => Promise.all(paths.map((path) => api.json(path, { signal }))));
  feeds = listed.feeds;
  const models = installed.models.filter(({ scores }) => scores?.length).map(({ name, version }) => `${name}@${version}`);
  if (!choice.feed && !choice.model) {
    const age = ({ latest }) => (latest ? -new Date(latest.reference_time) : 0);
    if (feeds.length) choice.feed = feeds.slice().sort((one, other) => age(one) - age(other))[0].name;
    else choice.model = models[0] ?? null;
  }
  drawSubjects(feeds, models, choice, change);
  await load();
}

function change(changes) {
  choice = { ...choice, ...changes };
  history.replaceState(null, "", addressOf(choice, location.search));
  load().catch(showProblem);
}

// `quiet`: nobody has asked for it.
async function load({ quiet = false } = {}) {
  loading.abort();
  const own = loading = new AbortController();
  document.body.dataset.subject = choice.feed ? "feed" : "model";
  if (!quiet) byId("verdict").setAttribute("aria-busy", "true");
  try {
    await patiently(choice.feed ? loadFeed : loadModel, own);
    byId("problem").hidden = true;
  } catch (problem) {
    if (problem.name !== "AbortError") throw problem;
  } finally {
    if (loading === own) byId("verdict").removeAttribute("aria-busy");
  }
}

async function loadModel(signal) {
  byId("scores").hidden = true;
  clearVerdict();
  byId("card").hidden = !choice.model;
  redraw = () => {};
  const sentence = choice.model ? await drawCard(byId("card"), choice.model) : text("skill.nothing");
  if (!signal.aborted) say(sentence);
}

async function loadFeed(signal) {
  const path = feedPath(choice.feed);
  const query = new URLSearchParams({ window: choice.window, lead_from: choice.from });
  for (const model of choice.with) query.append("model", model);
  const skill = await api.json(`${path}/skill?${query}`, { signal }).catch((problem) => {
    if (problem.status !== 422 || !choice.with.length) throw problem; // one of the models was not scored in this time
    choice = { ...choice, with: [] };
    query.delete("model");
    return api.json(`${path}/skill?${query}`, { signal });
  });
  byId("card").hidden = true;
  drawWindows(choice, change);
  drawOrigins(choice, change);
  const warnings = api.json(`${path}/skill/alerts?window=${choice.window}`, { signal });
  warnings.catch(() => {}); // what fails is told where it is awaited
  byId("scores").hidden = false;
  byId("of-scores").hidden = byId("charts").hidden = !skill.lead_minutes.length;
  if (!skill.lead_minutes.length) drawNothingYet();
  else await drawScores(skill, path, query, signal);
  drawWarnings(byId("warnings"), await warnings);
}

// Before the first scores: when they appear, by how often frames come.
function drawNothingYet() {
  const interval = feeds.find(({ name }) => name === choice.feed)?.interval_minutes;
  say(text("skill.notYet"));
  const when = interval ? text("skill.firstScores", { minutes: number(interval, { maximumFractionDigits: 0 }), hours: number(Math.ceil(24 * interval / 60)) }) : text("skill.firstScoresUnknown");
  clearVerdict();
  byId("more").replaceChildren(paragraph(when));
  redraw = () => {};
}

// A screen reader says the sentence when it differs.
function say(sentence) {
  if (byId("sentence").textContent !== sentence) byId("sentence").textContent = sentence;
}

function clearVerdict() {
  for (const id of ["more", "conclusions", "basis", "bars"]) byId(id).replaceChildren();
}

async function drawScores(skill, path, query, signal) {
  const shown = shownOf(skill);
  drawOfScores(skill, shown, change);
  drawCompared(skill, change);
  drawVerdict(skill, shown);
  radios(byId("score"), "score", SCORES.map((name) => [name, text(`skill.score.${name}`)]), choice.score, (score) => change({ score }));
  byId("score-means").textContent = text(`skill.means.${choice.score}`);
  const lines = () => {
    drawBars(skill, shown);
    drawByLead(skill, shown, change);
    drawByThreshold(skill, shown, change);
  };
  redraw = lines;
  lines();
  const longest = Math.min(choice.window, MOST_RELIABILITY_HOURS);
  query.set("window", longest);
  query.set("threshold", skill.models[0].events[shown.row].threshold_mm_h);
  query.set("lead", skill.lead_minutes[shown.column]);
  const reliability = await api.json(`${path}/skill/reliability?${query}`, { signal }).catch((problem) => {
    if (problem.status === 422) return { curves: [] }; // nothing of this threshold or lead in the shorter time
    throw problem;
  });
  byId("reliability-note").textContent = longest < choice.window ? text("skill.reliabilityDays", { count: longest / 24 }) : "";
  redraw = () => {
    lines();
    drawReliability(reliability, skill.models.map(({ model }) => model));
  };
  drawReliability(reliability, skill.models.map(({ model }) => model));
}

// Which threshold and lead of the scores are shown: the chosen ones, or the nearest that have a score.
function shownOf(skill) {
  const [own] = skill.models;
  const thresholds = own.events.map(({ threshold_mm_h: threshold }) => threshold);
  const known = thresholds.filter((_, row) => own.events[row].csi.value.some((value) => value !== null));
  const threshold = choice.threshold === null ? nearest(known.length ? known : thresholds, THRESHOLD_MM_H) : nearest(thresholds, choice.threshold);
  const lead = nearest(skill.lead_minutes, choice.lead ?? LEAD_MINUTES);
  return { row: thresholds.indexOf(threshold), column: skill.lead_minutes.indexOf(lead), window: choice.window, score: choice.score };
}

function drawVerdict(skill, shown) {
  const { first, more, conclusions } = sentences(skill, shown);
  say(first);
  const few = skill.enough ? [] : [paragraph(text("skill.tooFew"), "few")];
  byId("more").replaceChildren(...few, ...more.map((words) => paragraph(words)));
  byId("conclusions").replaceChildren(...conclusions.map(({ kind, text: words }) => {
    const item = document.createElement("li");
    item.className = kind;
    item.textContent = words;
    return item;
  }));
  byId("basis").textContent = basis(skill, shown.column);
}

// A screen reader says it once, not each time that it happens again.
function showProblem(problem) {
  byId("problem").hidden = false;
  const words = { "problem-title": problem.title ?? text("skill.failed"), "problem-detail": [problem.detail ?? problem.message, problem.hint].filter(Boolean).join(" ") };
  for (const [id, said] of Object.entries(words)) if (byId(id).textContent !== said) byId(id).textContent = said;
}

// Charts fit the width of the page.
let width = 0;
new ResizeObserver(([{ contentRect }]) => {
  if (Math.abs(contentRect.width - width) < 1) return;
  width = contentRect.width;
  requestAnimationFrame(() => redraw());
}).observe(byId("content"));

// What failed is tried again; scores of a model do not change.
setInterval(() => {
  if (document.visibilityState !== "visible") return;
  if (!feeds || !(choice.feed || choice.model)) start().catch(showProblem);
  else if (choice.feed || !byId("problem").hidden) load({ quiet: true }).catch(showProblem);
}, REFRESH_MS);

byId("reliability-values").open = matchMedia("(min-width: 1080px)").matches; // beside the diagram there is room for it
start().catch(showProblem);
