// The bell of a place: the browser tells before precipitation begins there. Nothing is asked for before a click.

import { json } from "../api.js";
import { node, refill, svg } from "../dom.js";
import { language, number, text } from "../messages.js";
import * as stored from "./subscriptions.js";

const BELL = "M12 3a6 6 0 0 0-6 6c0 5-2 6-2 7h16c0-1-2-2-2-7a6 6 0 0 0-6-6Zm-2 15a2 2 0 0 0 4 0";
const supported = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
// Safari on an iPhone has web push for pages on the home screen alone.
const needsHomeScreen = !supported && navigator.standalone === false;

// `nameOf` returns what the place of the state is called where it has no name of its own.
export async function attach(element, state, nameOf = () => null) {
  element.hidden = true;
  if (!supported && !needsHomeScreen) return;
  const { public_key: key } = await json("v1/push").catch(() => ({ public_key: null }));
  if (key === null) return;
  element.classList.add("push");
  const bell = node("button", { type: "button", className: "button quiet bell" });
  const label = node("span");
  bell.append(picture(), label);
  const note = node("p", { className: "hint" });
  note.setAttribute("aria-live", "polite");
  const others = node("details", { className: "bells" });
  const summary = node("summary");
  const list = node("ul");
  others.append(summary, list);
  let problem = "";
  element.replaceChildren(bell, note, others);

  const placeNow = () => (state.place && state.source?.kind === "feed"
    ? { ...state.place, name: state.place.name ?? nameOf(), feed: state.source.name } : null);

  function draw() {
    const place = placeNow();
    const known = place && stored.find(place);
    const blocked = supported && Notification.permission === "denied";
    element.hidden = !place && !stored.all().length;
    bell.hidden = !place;
    bell.disabled = needsHomeScreen || (blocked && !known);
    bell.setAttribute("aria-pressed", String(Boolean(known)));
    label.textContent = text(known ? "push.on" : "push.off");
    const words = problem || (place ? explanation(known, blocked) : "");
    if (note.textContent !== words) note.textContent = words;
    drawOthers(place);
  }

  function explanation(known, blocked) {
    if (needsHomeScreen) return text("push.homeScreen");
    if (known) return `${condition(known)} ${text("push.silence")}`;
    return blocked ? text("push.blocked") : "";
  }

  const condition = ({ within, rain_rate: rate, probability }) => (probability === null
    ? text("push.whenRate", { minutes: within, rate })
    : text("push.whenProbability", { minutes: within, rate, probability: number(probability, { style: "percent" }) }));

  function drawOthers(place) {
    const here = place && stored.find(place);
    const rows = stored.all().filter(({ id }) => id !== here?.id).map((subscription) => {
      const remove = node("button", { type: "button", className: "button quiet", textContent: text("push.remove") });
      remove.dataset.key = subscription.id;
      remove.setAttribute("aria-label", text("push.removeOf", { place: subscription.name }));
      remove.addEventListener("click", () => change(() => stored.remove(subscription)));
      const row = node("li");
      row.append(node("span", { textContent: subscription.name }), remove);
      return row;
    });
    others.hidden = rows.length === 0;
    summary.textContent = text("push.others", { count: rows.length });
    refill(list, ...rows);
  }

  async function change(action) {
    const { activeElement: focused } = document;
    bell.disabled = true;
    problem = "";
    try {
      await action();
    } catch (failure) {
      problem = failure.detail ? `${failure.title}: ${failure.detail}` : text("push.failed");
    }
    draw();
    if (document.activeElement !== document.body) return;
    (focused.isConnected ? focused : others.hidden ? bell : summary).focus({ preventScroll: true });
  }

  bell.addEventListener("click", () => change(async () => {
    const place = placeNow();
    const known = stored.find(place);
    if (known) return stored.remove(known);
    if (await Notification.requestPermission() !== "granted") return undefined;
    return stored.add(place, key, language);
  }));
  state.on("place", () => { problem = ""; });
  state.on(["place", "source"], draw);
  draw();
  if (supported) stored.renew(key, language).then(() => draw(), () => {});
}

function picture() {
  return svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: BELL }));
}
