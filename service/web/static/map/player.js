// Moves through the frames: by steps, or playing at a speed. A frame that is not ready is waited for, never passed over.

const LAST_FRAME_MS = 1400; // the end is shown longer, so that the way back is not taken for weather
const WAIT_MS = 25;

export function player(state, frames) {
  const listeners = new Set();
  let timer = null;
  let perSecond = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1 : 4;

  const list = () => state.source?.frames ?? [];
  const indexOf = (frame) => list().findIndex(({ id }) => id === frame?.id);
  const tell = () => listeners.forEach((listener) => listener());

  const newest = () => state.source?.opensWith(state.layer);

  // What the user chose stays when new frames come; the frame that the layer opens with follows the feed.
  function choose(frame) {
    state.set({ frame, at: frame.id === newest()?.id ? null : frame.valid_time });
  }

  function go(index) {
    pause();
    const frame = list()[Math.max(0, Math.min(list().length - 1, index))];
    if (frame) choose(frame);
  }

  function pause() {
    if (timer === null) return;
    clearTimeout(timer);
    timer = null;
    frames.play(false);
    if (state.frame) choose(state.frame);
    tell();
  }

  function play() {
    if (timer !== null || list().length < 2 || state.source.layerOf(state.layer).start) return; // one picture
    let due = performance.now();
    const wait = (ms) => {
      due += ms;
      timer = setTimeout(next, Math.max(0, due - performance.now()));
    };
    function next() {
      const index = indexOf(state.frame);
      const following = list()[index + 1] ?? list()[0];
      if (!frames.isDrawn() || !frames.isReady(following)) {
        due = performance.now();
        wait(WAIT_MS);
        return;
      }
      state.set({ frame: following });
      wait(following === list().at(-1) ? Math.max(LAST_FRAME_MS, 1000 / perSecond) : 1000 / perSecond);
    }
    wait(0);
    frames.play(true);
    tell();
  }

  return {
    get isPlaying() { return timer !== null; },
    get perSecond() { return perSecond; },
    set perSecond(value) { perSecond = value; tell(); },
    play,
    pause,
    toggle: () => (timer === null ? play() : pause()),
    step: (by) => go(indexOf(state.frame) + by),
    first: () => go(0),
    last: () => go(list().length - 1),
    newest: () => go(indexOf(newest())),
    nearest: (time) => go(indexOf(state.source?.frameAt(time))),
    on: (listener) => listeners.add(listener),
  };
}
