// The page of uploads: form, progress, result. The address has the id of the nowcast.

import * as api from "./api.js";
import { local } from "./format.js";
import { uploadForm } from "./upload.js";
import { viewer } from "./viewer.js";

const byId = (id) => document.getElementById(id);
const POLL_MS = 600; // where events do not arrive
const EVENTS_AGAIN_MS = 10000;
const RETRY_MS = 3000;
const resultViewer = viewer({ onProblem: showProblem });
let following = null;

const idInAddress = () => new URLSearchParams(location.search).get("nowcast");

function setView(name) {
  byId("layout").dataset.view = name;
  byId("welcome").hidden = name !== "start";
  byId("progress").hidden = name !== "progress";
  if (name !== "result") resultViewer.close();
}

function showProblem(problem) {
  byId("problem-title").textContent = problem.title || "The page failed";
  byId("problem-detail").textContent = sentenceCase(problem.what || problem.detail || problem.message || "");
  for (const name of ["where", "hint"]) {
    byId(`problem-${name}`).textContent = problem[name] || "";
    byId(`problem-${name}-row`).hidden = !problem[name];
  }
  if (problem.where === "members" && byId("members").checked) {
    byId("members").click();
    byId("problem-hint").textContent += `${/[.!?]$/.test(problem.hint) ? "" : "."} The box of the members is no longer ticked: make the nowcast again.`;
  }
  byId("problem").hidden = false;
  byId("problem").scrollIntoView({ block: "nearest" });
}

const sentenceCase = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "");

const hideProblem = () => { byId("problem").hidden = true; };

const isUnfinished = ({ status }) => status === "accepted" || status === "running";

function drawProgress({ status, progress: { done, total }, queue_position: position, estimated_completion: expected }) {
  const running = status === "running";
  byId("progress-expected").textContent = [
    position > 1 ? `${position - 1} before it` : "",
    expected ? `expected at ${local(expected)}` : "",
  ].filter(Boolean).join(", ");
  byId("progress-title").textContent = running ? "The forecast is running" : "Waiting for a worker";
  byId("progress-text").textContent = running
    ? `Lead step ${done} of ${total} done`
    : "The files have been received and the nowcast is recorded: you can close this page and open it again.";
  const meter = byId("meter");
  meter.setAttribute("aria-valuemax", total);
  meter.setAttribute("aria-valuenow", done);
  if (meter.children.length !== total) {
    meter.replaceChildren(...Array.from({ length: total }, () => document.createElement("span")));
  }
  [...meter.children].forEach((part, number) => {
    part.classList.toggle("done", number < done);
    part.classList.toggle("current", running && number === done);
  });
}

const delay = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("left", "AbortError")); });
});

// Draws the progress as events tell of it. Without events (a proxy that holds them back, too many streams) the page polls.
// Returns whether the nowcast is finished.
async function drawEvents(id, signal) {
  let finished = false;
  try {
    await api.events(id, signal, (status) => {
      finished = !isUnfinished(status);
      if (!finished) drawProgress(status);
    });
  } catch (problem) {
    if (signal.aborted) throw problem;
  }
  return finished;
}

// Follows one nowcast until it is finished, and keeps trying while the service does not respond.
async function follow(id) {
  following?.abort();
  following = new AbortController();
  const { signal } = following;
  let eventsFrom = 0;
  try {
    for (;;) {
      try {
        const status = await api.status(id, signal);
        if (!isUnfinished(status)) return await finish(status);
        hideProblem();
        setView("progress");
        drawProgress(status);
        if (Date.now() >= eventsFrom) {
          if (await drawEvents(id, signal)) continue;
          eventsFrom = Date.now() + EVENTS_AGAIN_MS;
        }
        await delay(POLL_MS, signal);
      } catch (problem) {
        if (problem.status !== 0) throw problem;
        showProblem({ ...problem, hint: "This page keeps trying. An accepted nowcast is not lost." });
        await delay(RETRY_MS, signal);
      }
    }
  } catch (problem) {
    if (problem.name === "AbortError") return;
    setView("start");
    showProblem(problem.type?.endsWith("/unknown-job") ? new api.Problem({
      title: "There is no such nowcast",
      detail: "The service has no nowcast with the id in this page's address. It may have been deleted after its retention, or the address may be incomplete.",
      where: id,
      hint: "Check the address, or make a new nowcast.",
    }) : problem);
  }
}

async function finish(status) {
  hideProblem();
  if (status.status === "successful") {
    const frames = await api.frames(status.id);
    setView("result");
    resultViewer.open(status, frames);
    return;
  }
  setView("start");
  showProblem(status.problem || new api.Problem({
    title: "This nowcast was cancelled",
    detail: "It was stopped before the end, so there is no forecast to show.",
    hint: "Make a new nowcast when you need one.",
  }));
}

async function submit(files, fields) {
  hideProblem();
  const status = await api.submit(files, fields);
  history.pushState(null, "", `?nowcast=${encodeURIComponent(status.id)}`);
  byId("content").focus({ preventScroll: true });
  follow(status.id);
}

function openAddress() {
  hideProblem();
  const id = idInAddress();
  if (id) {
    byId("welcome").hidden = true;
    follow(id);
  } else {
    following?.abort();
    setView("start");
  }
}

byId("cancel").addEventListener("click", async () => {
  try {
    await api.cancel(idInAddress());
  } catch (problem) {
    if (problem.status !== 409) showProblem(problem);
  }
});
window.addEventListener("popstate", openAddress);
uploadForm({ onSubmit: submit, onProblem: showProblem });
openAddress();
