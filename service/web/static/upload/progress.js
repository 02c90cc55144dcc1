// The progress of a nowcast: its place in the queue, then a part of the bar for each lead step.

import { clock, text } from "../messages.js";

const byId = (id) => document.getElementById(id);

export function drawProgress({ status, progress: { done, total }, queue_position: position, estimated_completion: expected }) {
  const running = status === "running";
  byId("progress-expected").textContent = [
    position > 1 ? text("upload.before", { count: position - 1 }) : "",
    expected ? text("upload.expected", { time: clock(expected) }) : "",
  ].filter(Boolean).join(", ");
  byId("progress-title").textContent = text(running ? "upload.running" : "upload.waiting");
  byId("progress-text").textContent = running ? text("upload.stepsDone", { done, total }) : text("upload.recorded");
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
