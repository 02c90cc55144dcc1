// Two models side by side: the other one at the right of a bar that is moved over the map.

import { text } from "../messages.js";
import { FrameStack } from "./frame_stack.js";
import { titleOf } from "./layer_title.js";
import { urgency } from "./frames.js";

const PANE = "compare";
const PANE_Z = 251; // above the radar pane
const FAR = 1e5; // pixels beyond any screen

const nameOf = (model) => (model ?? "").replace("@", " ");

export function compareModels(element, map, state, frames) {
  const bar = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 100, value: 50, step: 0.5, className: "swipe-bar" });
  const left = Object.assign(document.createElement("span"), { className: "swipe-left" });
  const right = Object.assign(document.createElement("span"), { className: "swipe-right" });
  let other = null; // the source of the other model
  let asked = 0;
  let stack = null;
  let isSplit = false; // not where the other model has no such frame
  let leave = () => {};
  map.createPane(PANE).style.zIndex = PANE_Z;
  bar.setAttribute("aria-label", text("compare.bar"));
  element.append(left, right, bar);

  const frameOf = (frame) => other.frames.find(({ valid_time: time }) => time === frame.valid_time);
  const layer = () => other.layerOf(state.layer);
  const templateOf = (frame) => {
    const own = frameOf(frame);
    return own ? other.tileUrl(own, layer()) : null;
  };

  // Each side has its part of the map; panes are clipped in the coordinates of the layers.
  function clip() {
    const { x: width } = map.getSize();
    const at = isSplit ? map.containerPointToLayerPoint([(width * bar.value) / 100, 0]).x : FAR;
    map.getPane("radar").style.clipPath = isSplit ? half(-FAR, at) : "";
    map.getPane(PANE).style.clipPath = half(at, FAR);
    element.style.setProperty("--at", `${bar.value}%`);
  }

  function remove() {
    leave();
    stack?.remove();
    stack = null;
    other = null;
    isSplit = false;
    element.hidden = true;
    clip();
  }

  async function open() {
    const { compare, source } = state;
    const mine = ++asked;
    if (!compare || !source?.of || !source.models.some(({ model }) => model === compare)) {
      remove();
      return;
    }
    try {
      const opened = await source.of(compare);
      if (mine !== asked) return;
      other = opened;
    } catch {
      if (mine === asked) remove(); // rather than an older run; the next refresh tries again
      return;
    }
    if (stack === null) {
      const { bounds: [west, south, east, north], zooms } = other;
      stack = new FrameStack({ pane: PANE, bounds: [[south, west], [north, east]], maxNativeZoom: zooms.max });
      stack.on("drawn progress failed loading load", frames.tell);
      stack.addTo(map);
      leave = frames.with({ isReady: (frame) => isMissing(frame) || stack.isReady(templateOf(frame)), isDrawn: () => isMissing(state.frame) || stack.shown() === templateOf(state.frame) });
      element.hidden = false;
    }
    update();
  }

  const isMissing = (frame) => stack === null || !frameOf(frame);

  function update() {
    if (stack === null || !state.frame) return;
    const template = templateOf(state.frame);
    isSplit = template !== null;
    map.getPane(PANE).style.visibility = isSplit ? "" : "hidden";
    bar.hidden = !isSplit;
    clip();
    left.textContent = nameOf(state.source.model);
    right.textContent = [nameOf(state.compare), template ? "" : text("compare.noFrame"), layer().id === state.layer ? "" : titleOf(layer())].filter(Boolean).join(", ");
    if (template) stack.show(template);
    stack.keep(urgency(state.source.frames, state.frame, frames.isPlaying()).map(templateOf).filter(Boolean));
  }

  bar.addEventListener("input", clip);
  map.on("move zoom resize viewreset zoomend moveend", clip);
  state.on(["compare", "source"], open);
  state.on(["frame", "layer"], update);
  remove();
  open();
}

const half = (from, to) => `polygon(${from}px ${-FAR}px, ${to}px ${-FAR}px, ${to}px ${FAR}px, ${from}px ${FAR}px)`;
