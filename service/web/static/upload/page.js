// The page of uploads: the form, the progress of the nowcast in the address, and then the map with it.

import * as api from "../api.js";
import { text } from "../messages.js";
import { uploadForm } from "./form.js";
import { hideProblem, showProblem } from "./problem_card.js";
import { drawProgress } from "./progress.js";

const byId = (id) => document.getElementById(id);
const POLL_MS = 600; // where events do not arrive
const EVENTS_AGAIN_MS = 10000;
const RETRY_MS = 3000;
let following = null;

const idInAddress = () => new URLSearchParams(location.search).get("nowcast");
const queryOf = (id) => `?nowcast=${encodeURIComponent(id)}`;

function setView(name) {
  byId("welcome").hidden = name !== "start";
  byId("progress").hidden = name !== "progress";
}

// The service says how many members are possible: the next attempt is made without them.
function show(problem) {
  const tooMany = problem.where === "members" && byId("members").checked;
  if (tooMany) byId("members").click();
  const end = /[.!?]$/.test(problem.hint) ? "" : ".";
  showProblem(tooMany ? { ...problem, hint: `${problem.hint}${end} ${text("upload.membersLeftOut")}` } : problem);
}

const isUnfinished = ({ status }) => status === "accepted" || status === "running";

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
        if (!isUnfinished(status)) return finish(status);
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
        show({ ...problem, title: problem.title, detail: problem.detail, hint: text("upload.keepsTrying") });
        await delay(RETRY_MS, signal);
      }
    }
  } catch (problem) {
    if (problem.name === "AbortError") return;
    setView("start");
    show(problem.type?.endsWith("/unknown-job") ? new api.Problem({
      title: text("upload.unknown"), detail: text("upload.unknownDetail"), where: id, hint: text("upload.unknownHint"),
    }) : problem);
  }
}

function finish(status) {
  hideProblem();
  if (status.status === "successful") {
    location.replace(`./${queryOf(status.id)}`);
    return;
  }
  setView("start");
  show(status.problem || new api.Problem({
    title: text("upload.cancelled"), detail: text("upload.cancelledDetail"), hint: text("upload.cancelledHint"),
  }));
}

async function submit(files, fields) {
  hideProblem();
  const status = await api.submit(files, fields);
  history.pushState(null, "", queryOf(status.id));
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
    if (problem.status !== 409) show(problem);
  }
});
window.addEventListener("popstate", openAddress);
uploadForm({ onSubmit: submit, onProblem: show });
openAddress();
