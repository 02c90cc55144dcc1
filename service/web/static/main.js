// The page: from files to a nowcast that can be looked at. The address carries the nowcast's id.

import * as api from "./api.js";
import { uploadForm } from "./upload.js";
import { viewer } from "./viewer.js";

const at = (id) => document.getElementById(id);
const POLL_MS = 600;
const RETRY_MS = 3000;
const show = viewer();
let following = null;

const idInAddress = () => new URLSearchParams(location.search).get("nowcast");

function view(name) {
  at("layout").dataset.view = name;
  at("welcome").hidden = name !== "start";
  at("progress").hidden = name !== "progress";
  if (name !== "result") show.close();
}

function tell(problem) {
  at("problem-title").textContent = problem.title || "The page failed";
  at("problem-detail").textContent = sentenceCase(problem.what || problem.detail || problem.message || "");
  for (const name of ["where", "hint"]) {
    at(`problem-${name}`).textContent = problem[name] || "";
    at(`problem-${name}-row`).hidden = !problem[name];
  }
  at("problem").hidden = false;
  at("problem").scrollIntoView({ block: "nearest" });
}

const sentenceCase = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "");

const quiet = () => { at("problem").hidden = true; };

function drawProgress({ status, progress: { done, total } }) {
  const running = status === "running";
  at("progress-title").textContent = running ? "The forecast is being made" : "Waiting for a worker";
  at("progress-text").textContent = running
    ? `Lead step ${done} of ${total} done`
    : "The files have arrived. The nowcast is safe: this page can be closed and opened again.";
  const meter = at("meter");
  meter.setAttribute("aria-valuemax", total);
  meter.setAttribute("aria-valuenow", done);
  if (meter.children.length !== total) {
    meter.replaceChildren(...Array.from({ length: total }, () => document.createElement("span")));
  }
  [...meter.children].forEach((part, number) => {
    part.classList.toggle("done", number < done);
    part.classList.toggle("at", running && number === done);
  });
}

const pause = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("left", "AbortError")); });
});

// Follows one nowcast until it is finished. A service that does not answer is asked again: an accepted nowcast stays.
async function follow(id) {
  following?.abort();
  following = new AbortController();
  const { signal } = following;
  try {
    for (;;) {
      try {
        const status = await api.status(id, signal);
        if (!["accepted", "running"].includes(status.status)) return await finish(status);
        quiet();
        view("progress");
        drawProgress(status);
        await pause(POLL_MS, signal);
      } catch (problem) {
        if (problem.status !== 0) throw problem;
        tell({ ...problem, title: problem.title, detail: problem.detail, hint: "This page asks again by itself. A nowcast that was accepted is not lost." });
        await pause(RETRY_MS, signal);
      }
    }
  } catch (problem) {
    if (problem.name === "AbortError") return;
    view("start");
    tell(problem.type?.endsWith("/unknown-job") ? new api.Problem({
      title: "This nowcast is not here",
      detail: "The service knows no nowcast with the id in this page's address. It may have been deleted after its time, or the address is not whole.",
      where: id,
      hint: "Check the address, or make a new nowcast.",
    }) : problem);
  }
}

async function finish(status) {
  quiet();
  if (status.status === "successful") {
    const frames = await api.frames(status.id);
    view("result");
    show.open(status, frames);
    return;
  }
  view("start");
  tell(status.problem || new api.Problem({
    title: "This nowcast was cancelled",
    detail: "It was stopped before it was finished, so there is no forecast to show.",
    hint: "Make a new nowcast when you need one.",
  }));
}

async function submit(files, fields) {
  quiet();
  const status = await api.submit(files, fields);
  history.pushState(null, "", `?nowcast=${encodeURIComponent(status.id)}`);
  at("content").focus({ preventScroll: true });
  follow(status.id);
}

function fromAddress() {
  quiet();
  const id = idInAddress();
  if (id) {
    at("welcome").hidden = true;
    follow(id);
  } else {
    following?.abort();
    view("start");
  }
}

at("cancel").addEventListener("click", async () => {
  try {
    await api.cancel(idInAddress());
  } catch (problem) {
    if (problem.status !== 409) tell(problem);
  }
});
at("home").addEventListener("click", (event) => {
  event.preventDefault();
  history.pushState(null, "", location.pathname);
  fromAddress();
});
window.addEventListener("popstate", fromAddress);
uploadForm({ onSubmit: submit, onProblem: tell });
fromAddress();
