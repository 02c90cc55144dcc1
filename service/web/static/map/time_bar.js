// The time bar: past, now and forecast on one axis, with what is ready, what is missing, and what nobody has scored.

import { node } from "../dom.js";
import { icon } from "../icons.js";
import { clock, text } from "../messages.js";
import { spanOf, titleOf } from "./layer_title.js";
import { fromNow, isBeyondScored, kindOf, localTime, sentenceOf, utcTime } from "./frame_words.js";

const NOW_MS = 5000;
const SAY_MS = 700; // a step is said once the steps rest
const SPEEDS = [1, 2, 4, 10];
const LABELS_MINUTES = [5, 10, 15, 30, 60, 120, 180, 360, 720];

const minutesOf = (time) => new Date(time).getTime() / 60000;

function button(className, message, symbol, onClick) {
  const element = node("button", { type: "button", className: `button icon ${className}`, onclick: onClick }, icon(symbol));
  element.setAttribute("aria-label", text(message));
  element.title = text(message);
  return element;
}

export function timeBar(element, state, player, frames) {
  const kind = node("span", { className: "time-kind" });
  const local = node("time", { className: "time-local" });
  const zone = node("span", { className: "time-zone" });
  const ahead = node("span", { className: "time-ahead" });
  const play = button("primary time-play", "time.play", "play", player.toggle);
  const newest = node("button", { type: "button", className: "button quiet time-newest", textContent: text("time.toNewest"), onclick: player.newest });
  const speed = speedChooser(player);
  const ticks = node("div", { className: "time-ticks" });
  const labels = node("div", { className: "time-labels" });
  const now = node("div", { className: "time-now" }, node("span", { textContent: text("time.now") }));
  const slider = node("input", { type: "range", className: "time-slider" });
  const said = node("p", { className: "visually-hidden" });
  slider.setAttribute("aria-label", text("time.frame"));
  said.setAttribute("aria-live", "polite");
  ticks.ariaHidden = labels.ariaHidden = now.ariaHidden = "true";
  element.setAttribute("aria-label", text("time.title"));
  element.append(
    node("p", { className: "time-shown" }, local, zone, ahead, kind),
    node("div", { className: "time-buttons" }, button("step", "time.back", "back", () => player.step(-1)), play,
      button("step", "time.forward", "forward", () => player.step(1)), newest, speed),
    node("div", { className: "time-track" }, ticks, now, slider, labels),
    said,
  );

  let axis = { from: 0, to: 1, step: 5 };
  let saying = null;
  let toSay = ""; // what the sentence that is said is of
  const layer = () => state.source.drawnLayer(state.frame, state.source.layerOf(state.layer));
  const share = (time) => (minutesOf(time) - axis.from) / (axis.to - axis.from);
  const percent = (fraction) => `${100 * fraction}%`;

  // The axis has room for half a step before the first frame and after the last one.
  function drawAxis() {
    const { frames: list, missing, status } = state.source ?? {};
    element.hidden = !list?.length;
    if (element.hidden) return;
    const times = list.map((frame) => minutesOf(frame.valid_time));
    const steps = times.slice(1).map((time, index) => time - times[index]).filter((step) => step > 0);
    const step = status.interval_minutes ?? (steps.length ? Math.min(...steps) : 5);
    axis = { from: times[0] - step / 2, to: times.at(-1) + step / 2, step };
    Object.assign(slider, { min: times[0], max: times.at(-1), step: "any" });
    slider.style.setProperty("--inset", percent(step / 2 / (axis.to - axis.from)));
    ticks.replaceChildren(...list.map((frame) => tick(frame.valid_time, `tick ${frame.kind}${isBeyondScored(frame, state.source) ? " beyond" : ""}`)),
      ...missing.map((time) => tick(time, "tick missing")));
    labels.replaceChildren(...labelTimes(axis).map(label));
    drawNow();
    drawFrame();
  }

  function tick(time, className) {
    const mark = node("span", { className });
    mark.style.left = percent(share(time) - axis.step / 2 / (axis.to - axis.from));
    mark.style.width = percent(axis.step / (axis.to - axis.from));
    return mark;
  }

  function label(minutes) {
    const time = new Date(minutes * 60000).toISOString();
    const mark = node("span", { textContent: clock(time) });
    mark.style.left = percent(share(time));
    return mark;
  }

  function drawNow() {
    if (!state.source?.frames.length) return;
    const at = share(state.source.now().toISOString());
    now.hidden = !state.source.isLive || at < 0 || at > 1;
    now.style.left = percent(at);
    if (state.frame) ahead.textContent = layer().start ? "" : fromNow(state.frame, state.source);
  }

  function drawFrame() {
    const { frame, source } = state;
    if (!frame || !source) return;
    const { clock: at, zone: name, day } = localTime(layer().start ?? frame.valid_time);
    const span = spanOf(layer());
    if (span) player.pause();
    play.disabled = Boolean(span);
    element.dataset.kind = span ? "forecast" : frame.kind;
    element.classList.toggle("beyond", isBeyondScored(frame, source));
    kind.textContent = span ? titleOf(layer()) : kindOf(frame, source);
    local.textContent = span || at;
    local.dateTime = frame.valid_time;
    zone.textContent = [name, day, `(${span ? `${spanOf(layer(), { timeZone: "UTC" })} UTC` : utcTime(frame.valid_time)})`].filter(Boolean).join(" ");
    ahead.textContent = span ? "" : fromNow(frame, source);
    slider.value = minutesOf(frame.valid_time);
    slider.setAttribute("aria-valuetext", sentenceOf(frame, source, layer()));
    newest.disabled = frame.id === source.opensWith(state.layer)?.id;
    const index = source.frames.findIndex(({ id }) => id === frame.id);
    [...ticks.children].forEach((mark, number) => mark.classList.toggle("current", number === index));
    say();
  }

  // While frames play, and where only the time went on, a screen reader is left in peace.
  function say() {
    clearTimeout(saying);
    if (player.isPlaying) return;
    saying = setTimeout(() => {
      const { frame, source } = state;
      if (!frame || !source || toSay === frame.id + spanTitle()) return;
      toSay = frame.id + spanTitle();
      said.textContent = sentenceOf(frame, source, layer());
    }, SAY_MS);
  }

  const spanTitle = () => (layer().start ? titleOf(layer()) : "");

  function drawProgress() {
    const { source } = state;
    if (!source) return;
    source.frames.forEach((frame, index) => ticks.children[index]?.classList.toggle("ready", frames.isReady(frame)));
    element.classList.toggle("loading", !frames.isDrawn());
  }

  function drawPlaying() {
    play.replaceChildren(icon(player.isPlaying ? "pause" : "play"));
    play.setAttribute("aria-label", text(player.isPlaying ? "time.pause" : "time.play"));
    play.title = play.getAttribute("aria-label");
    say();
  }

  slider.addEventListener("input", () => player.nearest(new Date(Number(slider.value) * 60000).toISOString()));
  state.on("source", drawAxis);
  state.on(["frame", "layer"], drawFrame);
  frames.on(drawProgress);
  player.on(drawPlaying);
  setInterval(drawNow, NOW_MS);
  document.addEventListener("keydown", (event) => onKey(event, player));
  drawAxis();
}

// Times at the axis: round local times, eight at most.
function labelTimes({ from, to }) {
  const every = LABELS_MINUTES.find((minutes) => (to - from) / minutes <= 7) ?? 1440;
  const offset = new Date(from * 60000).getTimezoneOffset();
  const first = Math.ceil((from - offset) / every) * every + offset;
  return Array.from({ length: Math.floor((to - first) / every) + 1 }, (_, index) => first + index * every);
}

function speedChooser(player) {
  const chooser = node("select", { className: "time-speed" }, ...SPEEDS.map((speed) => node("option", { value: speed, textContent: text("time.perSecond", { count: speed }) })));
  chooser.setAttribute("aria-label", text("time.speed"));
  chooser.value = player.perSecond;
  chooser.addEventListener("change", () => { player.perSecond = Number(chooser.value); });
  return chooser;
}

const KEYS = {
  ArrowLeft: (player) => player.step(-1),
  ArrowRight: (player) => player.step(1),
  Home: (player) => player.first(),
  End: (player) => player.last(),
  " ": (player) => player.toggle(),
};

const FIELDS = "input:not(.time-slider), select, textarea, dialog, [contenteditable], .leaflet-container:focus-visible";

// Keys anywhere on the page move through time, but where they have another meaning: in a field, on a button, or on the
// map, which they pan where it has the focus by keyboard.
function onKey(event, player) {
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || !KEYS[event.key]) return;
  if (event.target.closest?.(event.key === " " ? `${FIELDS}, button, summary, a` : FIELDS)) return;
  event.preventDefault();
  KEYS[event.key](player);
}
