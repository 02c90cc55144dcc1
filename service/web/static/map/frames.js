// The frames of the source on the map: which are kept ready, and which one is drawn.

import { FrameStack } from "./frame_stack.js";

// The order in which frames are fetched: the newest observed one, the forecast, then the past backwards. While frames
// play, those that come next.
export function urgency(frames, current, isPlaying) {
  const index = Math.max(0, frames.findIndex((frame) => frame.id === current?.id));
  if (isPlaying) return [...frames.slice(index), ...frames.slice(0, index)];
  const newest = frames.findLastIndex((frame) => frame.kind === "observed");
  return [...(current ? [frames[index]] : []), ...frames.slice(Math.max(0, newest)), ...frames.slice(0, Math.max(0, newest)).reverse()];
}

export function drawFrames(map, state) {
  const listeners = new Set();
  const others = new Set(); // what else is drawn with a frame, such as that of another model
  let stack = null;
  let drawnFrom = ""; // of which kind of source the stack is made: its bounds and zooms
  let isPlaying = false;

  const layer = () => state.source.layerOf(state.layer);
  const templateOf = (frame) => state.source.tileUrl(frame, layer());
  const tell = () => listeners.forEach((listener) => listener());

  function makeStack({ bounds: [west, south, east, north], zooms }) {
    const made = JSON.stringify([state.source.kind, state.source.name, state.source.bounds, zooms]);
    if (made === drawnFrom) return;
    stack?.remove();
    drawnFrom = made;
    stack = new FrameStack({ bounds: [[south, west], [north, east]], maxNativeZoom: zooms.max });
    stack.on("drawn progress failed loading load", tell);
    stack.addTo(map);
  }

  function update() {
    const { source, frame } = state;
    if (!source?.bounds || !frame) {
      stack?.remove();
      stack = null;
      drawnFrom = "";
      return;
    }
    makeStack(source);
    stack.show(templateOf(frame));
    stack.keep([...new Set(urgency(source.frames, frame, isPlaying).map(templateOf))]);
    tell();
  }

  state.on(["source", "frame", "layer"], update);
  update();
  const every = (test) => [...others].every(test);
  return {
    isReady: (frame) => stack !== null && stack.isReady(templateOf(frame)) && every((other) => other.isReady(frame)),
    // Whether the picture on the map is that of the frame that the time bar shows.
    isDrawn() {
      if (!state.frame || !state.source.bounds) return true;
      return stack !== null && stack.shown() === templateOf(state.frame) && !stack.isLoading() && every((other) => other.isDrawn());
    },
    hasGaps: () => stack !== null && stack.hasGaps(),
    // Adds something that is drawn with each frame: { isReady(frame), isDrawn() }. Returns what ends that.
    with(other) {
      others.add(other);
      return () => others.delete(other);
    },
    tell,
    isPlaying: () => isPlaying,
    play(playing) {
      isPlaying = playing;
      update();
    },
    on(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
