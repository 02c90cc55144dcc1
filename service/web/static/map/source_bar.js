// Above the map: which feed or nowcast it is, how old, by which model; and in words what is wrong with it.

import { clock, number, text } from "../messages.js";

const TICK_MS = 5000;
const NO_CONTACT_MINUTES = { warn: 2, bad: 5 };
const LEVELS = { ok: "good", delayed: "warn", partial: "warn", unavailable: "bad" };

const minutes = (value) => number(Math.round(value), { maximumFractionDigits: 0 });

// How far what is shown can be relied on: a level (good, warn, bad), the age in words, and a sentence where it is not good.
export function freshness(source, contactMinutes) {
  const { status, reason, interval_minutes: interval } = source.status;
  const age = source.ageMinutes();
  const words = age === null ? "" : text("source.age", { minutes: minutes(age) });
  if (contactMinutes >= NO_CONTACT_MINUTES.warn) {
    const level = contactMinutes >= NO_CONTACT_MINUTES.bad ? "bad" : "warn";
    return { level, words, sentence: text("source.noContact", { minutes: minutes(contactMinutes) }) };
  }
  const level = LEVELS[status] ?? "good";
  if (status === "unavailable") return { level, words, sentence: text("source.unavailable", { reason }) };
  if (status === "delayed") return { level, words, sentence: text("source.delayed", { minutes: minutes(age ?? 0), interval: number(interval ?? 0) }) };
  if (status === "partial") return { level, words, sentence: text("source.partial", { reason }) };
  return { level, words, sentence: "" };
}

function node(name, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(name), attributes);
  element.append(...children);
  return element;
}

// `contact()`: minutes since the service last responded.
export function sourceBar(element, notice, state, { feeds, contact }) {
  const chooser = node("select", { className: "source-feed" });
  const title = node("h1", { className: "source-title" });
  const chip = node("span", { className: "chip" });
  const facts = node("a", { className: "source-facts", title: text("skill.title") });
  const sentence = node("p", { className: "notice" });
  chooser.setAttribute("aria-label", text("source.feed"));
  chooser.addEventListener("change", () => state.set({ feed: chooser.value }));
  sentence.setAttribute("role", "status");
  element.append(title, chooser, chip, facts);
  notice.append(sentence);

  function draw() {
    const { source } = state;
    const list = feeds();
    const several = list.length > 1 && !state.nowcast;
    chooser.hidden = !several;
    title.hidden = several;
    if (chooser.childElementCount !== list.length) {
      chooser.replaceChildren(...list.map(({ name }) => node("option", { value: name, textContent: name })));
    }
    chooser.value = state.feed;
    title.textContent = source?.isLive === false ? text("source.upload") : state.feed ?? "";
    chip.hidden = !source?.isLive;
    facts.removeAttribute("href");
    if (!source) {
      facts.textContent = sentence.textContent = "";
      return;
    }
    const { level, words, sentence: wrong } = freshness(source, contact());
    chip.className = `chip ${level}`;
    chip.textContent = words || text("source.noRadar");
    facts.textContent = source.reference_time === null ? "" : text("source.nowcast", { time: clock(source.reference_time), model: (source.model ?? "").replace("@", " ") });
    if (source.isLive && source.reference_time !== null) facts.href = `skill?feed=${encodeURIComponent(state.feed)}`;
    else if (source.model) facts.href = `skill?model=${encodeURIComponent(source.model)}`;
    const noNowcast = source.reference_time === null && source.frames.length ? text("source.noNowcast") : "";
    setNotice([wrong || noNowcast, source.note].filter(Boolean).join(" "), level);
  }

  // A sentence is said again only where it differs.
  function setNotice(words, level) {
    if (sentence.textContent !== words) sentence.textContent = words;
    sentence.className = `notice ${level}`;
    notice.hidden = !words;
  }

  state.on(["source", "feed", "problem"], draw);
  setInterval(draw, TICK_MS);
  draw();
  return { draw };
}
