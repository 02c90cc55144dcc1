// The frames of a finished nowcast: the map, the time slider, the legend.

import { clockUtc, lead, local, pixels, utc } from "./format.js";
import { drawLegend } from "./legend.js";
import { drawGraticule } from "./graticule.js";
import { pointPanel } from "./point.js";
import { drawSkill } from "./skill.js";

const at = (id) => document.getElementById(id);
const FRAME_MS = 350;
const LAST_FRAME_MS = 1400;
const KEPT = 300;
const kept = new Map();

export function viewer() {
  let manifest = null;
  let pictures = [];
  let index = 0;
  let timer = null;
  let place = [0.5, 0.5];

  const panel = pointPanel({ onPick: (frame) => { stop(); show(frame); }, onPlace: pin });

  function show(next) {
    const { frames } = manifest;
    index = Math.max(0, Math.min(frames.length - 1, next));
    const frame = frames[index];
    const forecast = frame.kind === "forecast";
    at("viewer").dataset.kind = frame.kind;
    at("picture").src = pictures[index];
    at("picture").alt = `Rain, ${frame.kind}, valid ${utc(frame.valid_time)}`;
    at("kind").textContent = kindOf(frame);
    at("valid").textContent = utc(frame.valid_time);
    at("valid").dateTime = frame.valid_time;
    at("valid-local").textContent = `your time ${local(frame.valid_time)}`;
    at("slider").value = index;
    at("slider").setAttribute("aria-valuetext", `${forecast ? "forecast" : "observed"}, ${utc(frame.valid_time)}, ${lead(frame.lead_minutes)}`);
    [...at("ticks").children].forEach((tick, number) => tick.classList.toggle("at", number === index));
    panel.follow(index);
  }

  function stop() {
    clearTimeout(timer);
    timer = null;
    at("play").textContent = "▶";
    at("play").setAttribute("aria-label", "Play");
  }

  function play() {
    at("play").textContent = "❚❚";
    at("play").setAttribute("aria-label", "Pause");
    const last = manifest.frames.length - 1;
    const next = () => {
      show(index === last ? 0 : index + 1);
      timer = setTimeout(next, index === last ? LAST_FRAME_MS : FRAME_MS);
    };
    timer = setTimeout(next, FRAME_MS);
  }

  const toggle = () => (timer === null ? play() : stop());
  const move = (by) => { stop(); show(index + by); };

  function pin(x, y) {
    at("pin").hidden = x === null;
    if (x === null) return;
    place = [x, y];
    at("pin").style.left = `${x * 100}%`;
    at("pin").style.top = `${y * 100}%`;
  }

  function stageKeys(event) {
    const { nx, ny, pixels_per_block: block } = manifest.grid;
    const by = event.shiftKey ? 10 : 1;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) {
      const inside = (value) => Math.max(0, Math.min(0.9999, value));
      pin(inside(place[0] + (step[0] * by * block) / nx), inside(place[1] + (step[1] * by * block) / ny));
    } else if (event.key === "Enter") {
      panel.ask({ x: place[0], y: place[1] });
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  at("play").addEventListener("click", toggle);
  at("back").addEventListener("click", () => move(-1));
  at("forward").addEventListener("click", () => move(1));
  at("slider").addEventListener("input", (event) => { stop(); show(Number(event.target.value)); });
  at("stage").addEventListener("keydown", stageKeys);
  at("stage").addEventListener("click", (event) => {
    at("stage").blur(); // who clicks has a mouse: the arrow keys stay with time
    const box = at("picture").getBoundingClientRect();
    const fraction = (value) => Math.max(0, Math.min(1, value));
    panel.ask({ x: fraction((event.clientX - box.left) / box.width), y: fraction((event.clientY - box.top) / box.height) });
  });
  document.addEventListener("keydown", (event) => {
    if (at("viewer").hidden || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("input, select, textarea, button, summary, a")) return;
    if (event.key === "ArrowLeft") move(-1);
    else if (event.key === "ArrowRight") move(1);
    else if (event.key === " ") toggle();
    else return;
    event.preventDefault();
  });

  return {
    open(status, frames) {
      stop();
      manifest = frames;
      pictures = frames.frames.map((frame) => relative(frame.href));
      furnish(status, frames);
      panel.open(status.id, frames.legend);
      at("viewer").hidden = false;
      const first = frames.frames.findIndex((frame) => frame.kind === "forecast");
      show(Math.max(0, first - 1));
      preload([...pictures.slice(first), ...pictures.slice(0, first)]);
    },
    close() {
      if (timer !== null) stop();
      at("viewer").hidden = true;
    },
  };
}

// One picture after the other, the forecast first: a click on the map must not wait behind all of them.
async function preload(addresses) {
  for (const address of addresses) {
    const image = new Image();
    image.src = address;
    await image.decode().catch(() => {});
    kept.set(address, image);
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  }
}

// The service may live below a path of a proxy: its links are taken as relative to the page.
export const relative = (href) => href.replace(/^\//, "");

function kindOf({ kind, lead_minutes: minutes }) {
  if (kind === "forecast") return `Forecast, ${lead(minutes)}`;
  return minutes === 0 ? "Observed, newest frame" : `Observed, ${lead(minutes)}`;
}

function furnish(status, manifest) {
  const { frames, grid } = manifest;
  at("reference").textContent = utc(manifest.reference_time);
  at("used").textContent = (manifest.model || status.model_asked).replace("@", " ");
  at("note").textContent = manifest.note;
  at("note").hidden = !manifest.note;
  at("slider").max = frames.length - 1;
  at("last-time").textContent = clockUtc(frames[frames.length - 1].valid_time);
  const past = frames.filter((frame) => frame.kind === "observed").length;
  // The reference time says more than the first time does, where there is no room for both.
  at("first-time").textContent = past > 1 && past / frames.length < 0.3 ? "" : clockUtc(frames[0].valid_time);
  at("now-label").textContent = past > 1 ? clockUtc(manifest.reference_time) : "";
  at("now-label").style.left = `${((past - 0.5) / frames.length) * 100}%`;
  at("ticks").replaceChildren(...frames.map((frame) => {
    const tick = document.createElement("span");
    tick.className = frame.kind;
    return tick;
  }));
  drawSkill(manifest.model);
  drawLegend(at("legend"), manifest.legend);
  drawGraticule(at("overlay"), at("marks"), manifest.graticule);
  const [width, height] = grid.extent_km;
  at("stage").style.aspectRatio = `${grid.nx} / ${grid.ny}`;
  at("stage").style.maxWidth = `calc(max(20rem, 72vh) * ${grid.nx / grid.ny})`;
  const bar = [1000, 500, 200, 100, 50, 20, 10, 5, 2, 1].find((km) => km <= width / 4) ?? width / 4;
  at("scalebar").textContent = `${bar} km`;
  at("scalebar").style.setProperty("--share", bar / width);
  at("stage").title = `${grid.crs}, ${Math.round(width)} × ${Math.round(height)} km, pixels of ${pixels(grid.pixel_km[0])}`;
  at("downloads").replaceChildren(...status.links
    .filter((link) => link.rel === "results" || link.rel === "alternate")
    .map((link) => {
      const item = document.createElement("a");
      item.className = "button quiet";
      item.href = relative(link.href);
      item.download = "";
      item.textContent = link.title;
      return item;
    }));
}
