// The frames of a finished nowcast: the map, the time slider, the legend.

import { clockUtc, isBeyond, lead, local, pixelSize, utc } from "./format.js";
import { drawChooser, layersOf, legendOf } from "./layers.js";
import { drawLegend } from "./legend.js";
import { drawGraticule } from "./graticule.js";
import { downloadLink, pictureAddress } from "./pictures.js";
import { pointPanel } from "./point.js";
import { drawSkill } from "./skill.js";

const byId = (id) => document.getElementById(id);
const FRAME_MS = 350;
const LAST_FRAME_MS = 1400;
const MAX_CACHED = 300;
const cached = new Map();

// A model without a distribution has a single field, which needs no name.
const FIELDS = { expected: "expected (mean)", median: "median", sharp: "sharp" };

export function viewer({ onProblem }) {
  let manifest = null;
  let layers = [];
  let layer = null;
  let drawn = null; // the layer whose legend is drawn
  let pictures = [];
  let picture = ""; // the address of the one that is shown, or on its way
  let scored = null; // longest lead time (minutes) that the model's scores cover
  let index = 0;
  let timer = null;
  let place = [0.5, 0.5];

  const panel = pointPanel({ onPick: (frame) => { stop(); show(frame); }, onPlace: pin });

  async function draw(address) {
    picture = address;
    try {
      const source = await pictureAddress(address);
      if (picture === address) byId("picture").src = source;
    } catch (problem) {
      onProblem(problem);
    }
  }

  function show(next) {
    const { frames } = manifest;
    index = Math.max(0, Math.min(frames.length - 1, next));
    const frame = frames[index];
    const forecast = frame.kind === "forecast";
    const beyond = isBeyond(frame, scored);
    byId("viewer").dataset.kind = frame.kind;
    byId("viewer").classList.toggle("beyond", beyond);
    byId("unscored").hidden = !beyond;
    draw(pictures[index]);
    byId("picture").alt = `${forecast ? layer.words.title : "Rain rate"}, ${frame.kind}, valid ${utc(frame.valid_time)}`;
    byId("kind").textContent = kindOf(frame) + (beyond ? ", not scored" : "");
    const shown = legendOf(layer, layers, frame);
    if (shown !== drawn) {
      drawLegend(byId("legend"), shown.legend, shown.words);
      drawn = shown;
    }
    byId("valid").textContent = utc(frame.valid_time);
    byId("valid").dateTime = frame.valid_time;
    byId("valid-local").textContent = `your time ${local(frame.valid_time)}`;
    byId("slider").value = index;
    byId("slider").setAttribute("aria-valuetext", `${forecast ? "forecast" : "observed"}, ${utc(frame.valid_time)}, ${lead(frame.lead_minutes)}${beyond ? ", not scored" : ""}`);
    [...byId("ticks").children].forEach((tick, number) => tick.classList.toggle("current", number === index));
    panel.follow(index);
  }

  function choose(next) {
    layer = next;
    pictures = manifest.frames.map(layer.address);
    byId("layer-note").textContent = layer.note;
    byId("layer-note").hidden = !layer.note;
    const first = firstForecast(manifest);
    preload([...pictures.slice(first), ...pictures.slice(0, first)]);
  }

  // The scores arrive later than the frames; until then nothing is faded.
  function setScored(minutes) {
    scored = minutes;
    const beyond = manifest.frames.map((frame) => isBeyond(frame, scored));
    [...byId("ticks").children].forEach((tick, number) => tick.classList.toggle("beyond", beyond[number]));
    byId("unscored").textContent = `beyond ${scored} min: not scored`;
    panel.fade(scored);
    show(index);
  }

  function stop() {
    clearTimeout(timer);
    timer = null;
    byId("play").textContent = "▶";
    byId("play").setAttribute("aria-label", "Play");
  }

  function play() {
    byId("play").textContent = "❚❚";
    byId("play").setAttribute("aria-label", "Pause");
    const last = manifest.frames.length - 1;
    const next = () => {
      show(index === last ? 0 : index + 1);
      timer = setTimeout(next, index === last ? LAST_FRAME_MS : FRAME_MS);
    };
    timer = setTimeout(next, FRAME_MS);
  }

  // An observed frame has no probability: with a probability the first forecast is shown.
  const showForecast = () => show(layer === layers[0] ? index : Math.max(index, firstForecast(manifest)));

  const toggle = () => (timer === null ? play() : stop());
  const step = (by) => { stop(); show(index + by); };

  function pin(x, y) {
    byId("pin").hidden = x === null;
    if (x === null) return;
    place = [x, y];
    byId("pin").style.left = `${x * 100}%`;
    byId("pin").style.top = `${y * 100}%`;
  }

  function stageKeys(event) {
    const { nx, ny, pixels_per_block: block } = manifest.grid;
    const by = event.shiftKey ? 10 : 1;
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (direction) {
      const inside = (value) => Math.max(0, Math.min(0.9999, value));
      pin(inside(place[0] + (direction[0] * by * block) / nx), inside(place[1] + (direction[1] * by * block) / ny));
    } else if (event.key === "Enter") {
      panel.load({ x: place[0], y: place[1] });
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  byId("play").addEventListener("click", toggle);
  byId("back").addEventListener("click", () => step(-1));
  byId("forward").addEventListener("click", () => step(1));
  byId("slider").addEventListener("input", (event) => { stop(); show(Number(event.target.value)); });
  byId("stage").addEventListener("keydown", stageKeys);
  byId("stage").addEventListener("click", (event) => {
    byId("stage").blur(); // after a click the arrow keys still step through time
    const box = byId("picture").getBoundingClientRect();
    const fraction = (value) => Math.max(0, Math.min(1, value));
    panel.load({ x: fraction((event.clientX - box.left) / box.width), y: fraction((event.clientY - box.top) / box.height) });
  });
  document.addEventListener("keydown", (event) => {
    if (byId("viewer").hidden || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("input, select, textarea, button, summary, a")) return;
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
    else if (event.key === " ") toggle();
    else return;
    event.preventDefault();
  });

  return {
    open(status, frames) {
      stop();
      manifest = frames;
      scored = null;
      drawn = null;
      layers = layersOf(frames);
      choose(layers[0]);
      drawChooser(byId("layers"), layers, { chosen: layer, onChoose: (next) => { choose(next); showForecast(); } });
      describe(status, frames, onProblem);
      drawSkill(frames.model).then((model) => { if (manifest === frames) setScored(model?.scored_lead_minutes ?? null); });
      panel.open(status.id, frames);
      byId("viewer").hidden = false;
      show(Math.max(0, firstForecast(frames) - 1));
    },
    close() {
      if (timer !== null) stop();
      byId("viewer").hidden = true;
    },
  };
}

// One picture after the other, the forecast first, so that a click on the map need not wait for all of them.
async function preload(addresses) {
  for (const address of addresses) {
    const image = new Image();
    try {
      image.src = await pictureAddress(address);
      await image.decode();
    } catch {
      continue; // the frame's problem is told when it is shown
    }
    cached.set(address, image);
    if (cached.size > MAX_CACHED) cached.delete(cached.keys().next().value);
  }
}

const firstForecast = ({ frames }) => Math.max(0, frames.findIndex((frame) => frame.kind === "forecast"));

function kindOf({ kind, lead_minutes: minutes }) {
  if (kind === "forecast") return `Forecast, ${lead(minutes)}`;
  return minutes === 0 ? "Observed, newest frame" : `Observed, ${lead(minutes)}`;
}

function describe(status, manifest, onProblem) {
  const { frames, grid } = manifest;
  byId("reference").textContent = utc(manifest.reference_time);
  byId("used").textContent = (manifest.model || status.model_asked).replace("@", " ");
  byId("field").textContent = FIELDS[manifest.field] ?? "";
  byId("field-row").hidden = !FIELDS[manifest.field];
  byId("note").textContent = manifest.note;
  byId("note").hidden = !manifest.note;
  byId("slider").max = frames.length - 1;
  byId("last-time").textContent = clockUtc(frames[frames.length - 1].valid_time);
  const past = frames.filter((frame) => frame.kind === "observed").length;
  // Without room for both, the reference time is more useful than the first time.
  byId("first-time").textContent = past > 1 && past / frames.length < 0.3 ? "" : clockUtc(frames[0].valid_time);
  byId("now-label").textContent = past > 1 ? clockUtc(manifest.reference_time) : "";
  byId("now-label").style.left = `${((past - 0.5) / frames.length) * 100}%`;
  byId("ticks").replaceChildren(...frames.map((frame) => {
    const tick = document.createElement("span");
    tick.className = frame.kind;
    return tick;
  }));
  drawGraticule(byId("overlay"), byId("marks"), manifest.graticule);
  const [width, height] = grid.extent_km;
  byId("stage").style.aspectRatio = `${grid.nx} / ${grid.ny}`;
  byId("stage").style.maxWidth = `calc(max(20rem, 72vh) * ${grid.nx / grid.ny})`;
  const bar = [1000, 500, 200, 100, 50, 20, 10, 5, 2, 1].find((km) => km <= width / 4) ?? width / 4;
  byId("scalebar").textContent = `${bar} km`;
  byId("scalebar").style.setProperty("--share", bar / width);
  byId("stage").title = `${grid.crs}, ${Math.round(width)} × ${Math.round(height)} km, pixels of ${pixelSize(grid.pixel_km[0])}`;
  byId("downloads").replaceChildren(...status.links
    .filter((link) => link.rel === "results" || link.rel === "alternate")
    .map((link) => downloadLink(link, { onProblem })));
}
