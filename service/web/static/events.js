// Follows a stream of server-sent events for as long as the page wants, and connects again where it breaks.

import { call } from "./api.js";

const SILENT_MS = 40000; // the service sends a comment every 15 s
const FIRST_WAIT_MS = 2000;
const LONGEST_WAIT_MS = 30000;

// `handlers`: by the name of the event, what is called with its data. `onState`: called with whether it is connected.
// Returns what ends it.
export function follow(path, handlers, { onState = () => {} } = {}) {
  const ending = new AbortController();
  run(path, handlers, onState, ending.signal);
  return () => ending.abort();
}

async function run(path, handlers, onState, ended) {
  let wait = FIRST_WAIT_MS;
  while (!ended.aborted) {
    try {
      await connect(path, (event) => {
        onState(true);
        wait = FIRST_WAIT_MS;
        if (event) handlers[event.name]?.(event.data);
      }, ended);
    } catch { /* it is tried again, whatever the reason */ }
    if (ended.aborted) return;
    onState(false);
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

// Reads one connection to its end; a silent one is broken off. `onEvent` is called without an event at the beginning.
async function connect(path, onEvent, ended) {
  const breaking = new AbortController();
  const signal = AbortSignal.any([ended, breaking.signal]);
  const response = await call(path, { signal, cache: "no-store" });
  onEvent(null);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const silent = setTimeout(() => breaking.abort(), SILENT_MS);
    const { value, done } = await reader.read().finally(() => clearTimeout(silent));
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const event = parsed(part);
      if (event) onEvent(event);
    }
  }
}

function parsed(part) {
  const fields = Object.fromEntries(part.split("\n").map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]));
  return fields.data === undefined ? null : { name: fields.event ?? "message", data: JSON.parse(fields.data) };
}
