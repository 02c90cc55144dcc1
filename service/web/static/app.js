// What makes an app of every page: the service worker, and lines at the top that tell of a lost connection and of a new version.

import { text } from "./messages.js";

const UPDATE_MS = 3600_000;
const lines = Object.assign(document.createElement("div"), { className: "app-lines" });
lines.setAttribute("role", "status");
document.body.append(lines);
const worker = navigator.serviceWorker; // absent on http addresses other than localhost

function line(id, words, ...more) {
  document.getElementById(id)?.remove();
  const element = Object.assign(document.createElement("p"), { id, className: "app-line" });
  lines.append(element);
  element.append(words, ...more); // after it is in the page, so that a screen reader says it
}

function showConnection() {
  if (navigator.onLine) document.getElementById("no-connection")?.remove();
  else line("no-connection", text("app.noConnection", { time: new Date() }));
}

function showNewVersion() {
  const reload = Object.assign(document.createElement("button"), { type: "button", className: "button quiet", textContent: text("app.reload") });
  reload.addEventListener("click", () => location.reload());
  line("new-version", text("app.newVersion"), reload);
}

async function start() {
  const before = worker.controller;
  worker.addEventListener("controllerchange", () => { if (before) showNewVersion(); });
  const registration = await worker.register(new URL("service-worker.js", document.baseURI), { type: "module" });
  setInterval(() => registration.update().catch(() => {}), UPDATE_MS); // a page in a control room is open for weeks
}

window.addEventListener("offline", showConnection);
window.addEventListener("online", showConnection);
showConnection();
if (worker) start().catch((error) => console.warn(`no service worker: ${error.message}`));
