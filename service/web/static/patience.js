// Requests that hang: a network that swallows packets answers nothing, and breaks nothing off.

import { unreachable } from "./api.js";

const PATIENCE_MS = 30000;

// Awaits `load(signal)`. What gets no answer in time is given up as unreachable, unless it waits for a key.
export async function patiently(load, giving = new AbortController()) {
  const late = setTimeout(() => { if (!document.getElementById("key-card")) giving.abort(unreachable()); }, PATIENCE_MS);
  try {
    return await load(giving.signal);
  } finally {
    clearTimeout(late);
  }
}
