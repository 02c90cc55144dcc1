// A problem: what is wrong, where, and what to do about it. Texts of the service are English.

import { text } from "../messages.js";

const byId = (id) => document.getElementById(id);

const sentenceCase = (words) => (words ? words[0].toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".") : "");

export function showProblem(problem) {
  byId("problem-title").textContent = problem.title || text("problem.page");
  byId("problem-detail").textContent = sentenceCase(problem.what || problem.detail || problem.message || "");
  for (const name of ["where", "hint"]) {
    byId(`problem-${name}`).textContent = problem[name] || "";
    byId(`problem-${name}-row`).hidden = !problem[name];
  }
  byId("problem").hidden = false;
  byId("problem").scrollIntoView({ block: "nearest" });
}

export const hideProblem = () => { byId("problem").hidden = true; };
