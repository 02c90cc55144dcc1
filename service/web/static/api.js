// HTTP client of the service. Every failure becomes a Problem with title, detail, where and hint.

import { askForKey, key } from "./key.js";
import { text } from "./messages.js";

export class Problem extends Error {
  constructor({ title, detail = "", where = "", hint = "", status = 0, type = "" }) {
    super(detail || title);
    Object.assign(this, { title, detail, where, hint, status, type });
  }
}

export const unreachable = () => new Problem({
  title: text("problem.unreachable"),
  detail: text("problem.unreachableDetail"),
  hint: text("problem.unreachableHint"),
});

async function problemOf(response) {
  const type = response.headers.get("content-type") || "";
  if (type.includes("json")) {
    return new Problem({ ...(await response.json()), status: response.status });
  }
  return unexpected(response);
}

// Of an answer that is not the service's.
const unexpected = ({ status }) => new Problem({
  title: text("problem.status", { status: String(status) }),
  detail: text("problem.statusDetail"),
  hint: text("problem.statusHint"),
  status,
});

// Sends a request, with the key of this tab. Where the service needs a key, it is asked for, and the request sent again.
export async function call(path, options = {}) {
  for (;;) {
    const used = key();
    const response = await send(path, used, options);
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (response.status !== 401) throw problem;
    if (used === key()) await askForKey(problem);
  }
}

async function send(path, used, options) {
  const headers = used ? { ...options.headers, Authorization: `Bearer ${used}` } : options.headers;
  try {
    return await fetch(path, { ...options, headers });
  } catch (error) {
    throw options.signal?.aborted ? error : unreachable();
  }
}

export async function json(path, options = {}) {
  const response = await call(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw error instanceof SyntaxError ? unexpected(response) : unreachable();
  }
}

const base = "v1/nowcasts";

export const models = async () => (await json("v1/models")).models;
export const status = (id, signal) => json(`${base}/${encodeURIComponent(id)}`, { signal });

// Calls onStatus with each status of a nowcast until it is finished. The service sends them as server-sent events.
export async function events(id, signal, onStatus) {
  const response = await call(`${base}/${encodeURIComponent(id)}/events`, { signal, cache: "no-store" });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").find((line) => line.startsWith("data: "));
      if (data) onStatus(JSON.parse(data.slice(6)));
    }
  }
}

export const cancel = (id) => json(`${base}/${encodeURIComponent(id)}`, { method: "DELETE" });
export async function submit(files, fields) {
  const body = new FormData();
  for (const file of files) body.append("files", file, file.name);
  for (const [name, value] of Object.entries(fields)) if (value) body.append(name, value);
  return json(base, { method: "POST", body, headers: { "Idempotency-Key": randomKey() } });
}

// crypto.randomUUID exists only on secure pages, which http addresses other than localhost are not.
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function sample() {
  const response = await call("sample");
  return new File([await response.blob()], "sample.nc", { type: "application/x-netcdf" });
}
