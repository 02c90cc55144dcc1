// Above the map: which feed or nowcast it is, how old, by which model; and in words what is wrong with it.

import { node } from "../dom.js";
import { clock, number, text } from "../messages.js";

const TICK_MS = 5000;
const NO_CONTACT_MINUTES = { warn: 2, bad: 5 };
const LEVELS = { ok: "good", delayed: "warn", partial: "warn", unavailable: "bad" };

const minutes = (value) => number(Math.round(value), { maximumFractionDigits: 0 });

// How far what is shown can be relied on: a level (good, warn, bad), the age in words, and a sentence where it is not good.
// `contactMinutes`: since the service last responded; 0 of an upload, which does not change.
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

// A sentence whose part `own` are the service's own words, which are English in whatever language the page is.
function inEnglish(words, own) {
  const start = own ? words.indexOf(own) : -1;
  if (start < 0) return words;
  return node("span", {}, words.slice(0, start), node("span", { lang: "en", textContent: own }), words.slice(start + own.length));
}

// `contact()`: minutes since the service last responded. `gone()`: in words, that the time that was asked for is not kept.
export function sourceBar(element, notice, state, { feeds, contact, gone }) {
  const chooser = node("select", { className: "source-feed" });
  const title = node("h1", { className: "source-title" });
  const chip = node("span", { className: "chip" });
  const facts = node("a", { className: "source-facts", title: text("skill.title") });
  const sentence = node("p", { className: "notice" });
  chooser.setAttribute("aria-label", text("source.feed"));
  chooser.addEventListener("change", () => state.set({ feed: chooser.value }));
  const said = node("p", { className: "visually-hidden" });
  said.setAttribute("role", "status");
  element.append(title, chooser, chip, facts, said);
  notice.append(sentence);

  function draw() {
    const { source } = state;
    const list = feeds();
    const several = !state.nowcast && list.some(({ name }) => name !== state.feed);
    chooser.hidden = !several;
    title.hidden = several;
    if ([...chooser.options].map(({ value }) => value).join() !== list.map(({ name }) => name).join()) {
      chooser.replaceChildren(...list.map(({ name }) => node("option", { value: name, textContent: name })));
    }
    chooser.value = state.feed;
    title.textContent = source?.isLive === false ? text("source.upload") : state.feed ?? "";
    chip.hidden = !source?.isLive;
    facts.removeAttribute("href");
    if (!source) {
      facts.textContent = "";
      setNotice([], "", "");
      return;
    }
    const { level, words, sentence: wrong } = freshness(source, source.isLive ? contact() : 0);
    chip.className = `chip ${level}`;
    chip.textContent = words || text("source.noRadar");
    facts.textContent = source.reference_time === null ? "" : text("source.nowcast", { time: clock(source.reference_time), model: (source.model ?? "").replace("@", " ") });
    if (source.isLive && source.reference_time !== null) facts.href = `skill?feed=${encodeURIComponent(state.feed)}`;
    else if (source.model) facts.href = `skill?model=${encodeURIComponent(source.model)}`;
    const noNowcast = source.reference_time === null && source.frames.length ? text("source.noNowcast") : "";
    const { status, reason } = source.status;
    setNotice([inEnglish(wrong || noNowcast, reason), gone(), inEnglish(source.note, source.note)], level, [level, status, gone(), source.note].join());
  }

  // A screen reader says it once for each `matter`: not again with each minute that it gets older.
  function setNotice(parts, level, matter) {
    const shown = parts.filter(Boolean).flatMap((part, index) => (index ? [" ", part] : [part]));
    const words = shown.map((part) => part.textContent ?? part).join("");
    if (sentence.textContent !== words) sentence.replaceChildren(...shown);
    sentence.className = `notice ${level}`;
    notice.hidden = !words;
    if (said.dataset.matter === matter) return;
    said.dataset.matter = matter;
    said.textContent = words;
  }

  state.on(["source", "feed", "problem"], draw);
  setInterval(draw, TICK_MS);
  draw();
  return { draw };
}
