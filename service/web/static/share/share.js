// Sharing: the permalink, a picture of the map, the files of the nowcast, the snippet that embeds it, the printed page.

import { node } from "../dom.js";
import { icon } from "../icons.js";
import { clock, text } from "../messages.js";
import { downloadsOf, save, saveBlob } from "./downloads.js";
import { mapDrawn, mapPicture } from "./picture.js";
import { printReport } from "./report.js";

const button = (key, onclick, className = "button quiet") => node("button", { type: "button", className, textContent: text(key), onclick });
const pageOf = (name) => new URL(name, document.baseURI).href;
const ENTITIES = { "&": "&amp;", '"': "&quot;", "<": "&lt;", ">": "&gt;" };
const escaped = (words) => words.replace(/[&"<>]/g, (sign) => ENTITIES[sign]);

// The address of the page as it is; with the time of the frame, else it shows the newest whenever it is opened.
export const permalink = (state, withTime) =>
  pageOf(`./${state.address({ places: null, at: withTime ? state.frame.valid_time : null })}`);

// HTML that shows the widget on another page.
export function embedCode(state) {
  const { place, source, layer } = state;
  const query = new URLSearchParams(source.isLive ? { feed: source.name } : { nowcast: source.name });
  if (layer !== "rain") query.set("layer", layer);
  if (place) query.set("place", [place.lat.toFixed(4), place.lon.toFixed(4), ...(place.name ? [place.name] : [])].join(","));
  const title = escaped(text("share.reportTitle", { place: place?.name ?? source.title }));
  return `<iframe src="${escaped(`${pageOf("embed")}?${query}`)}" title="${title}" width="360" height="480" loading="lazy" style="border:0"></iframe>`;
}

export function attach(element, state, map) {
  const open = node("button", { type: "button", className: "button share-open", onclick: show }, icon("share"), node("span", { textContent: text("share.share") }));
  open.setAttribute("aria-label", text("share.share")); // on a phone it is the icon alone
  const dialog = node("dialog", { className: "share card" });
  dialog.setAttribute("aria-label", text("share.share"));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); }); // beside it
  element.append(open, dialog);
  const status = node("p", { className: "share-status hint" });
  status.setAttribute("role", "status");

  const tell = (words) => { status.textContent = words; };

  async function attempt(work, done = "") {
    tell(text("share.working"));
    try {
      await work();
      tell(done);
    } catch (problem) {
      tell([problem.title ?? problem.message, problem.hint].filter(Boolean).join(". "));
    }
  }

  async function copy(field) {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      document.execCommand("copy"); // pages that are not secure have no clipboard
    }
    tell(text("share.copied"));
  }

  function copied(label, field) {
    const name = node("label", {}, node("span", { textContent: text(label) }), field);
    return node("div", { className: "share-copy" }, name, button("share.copy", () => copy(field)));
  }

  function linkSection() {
    const field = node("input", { type: "text", readOnly: true });
    const withTime = node("input", { type: "checkbox", checked: state.at !== null, onchange: draw });
    function draw() { field.value = permalink(state, withTime.checked && state.frame); }
    draw();
    const share = navigator.share && button("share.send", () => navigator.share({ url: field.value, title: document.title }).catch(() => {}));
    return node("section", {}, copied("share.link", field),
      state.frame && node("label", { className: "share-check" }, withTime, text("share.withTime", { time: clock(state.frame.valid_time) })), share);
  }

  function fileSection() {
    const list = node("div", { className: "share-files" },
      button("share.picture", () => attempt(savePicture)), button("share.print", () => attempt(() => printReport(map, state))));
    downloadsOf(state.source).then(({ nowcast, files }) => {
      const { place } = state;
      list.append(...files.map(({ href, key, title }) => {
        const item = node("button", { type: "button", className: "button quiet", textContent: key ? text(key) : title, onclick: () => attempt(() => save(href)) });
        if (!key) item.lang = "en";
        return item;
      }));
      if (place) {
        const query = new URLSearchParams({ lon: place.lon, lat: place.lat, format: "csv" });
        list.append(button("share.csv", () => attempt(() => save(`${nowcast}/point?${query}`, "place.csv"))));
      }
    }, () => {}); // there is no nowcast yet: the picture is all
    return node("section", {}, node("h3", { textContent: text("share.download") }), list);
  }

  async function savePicture() {
    await mapDrawn(map);
    const blob = await new Promise((resolve) => { mapPicture(map, state).toBlob(resolve, "image/png"); });
    saveBlob(blob, `echocast_${state.source.name}_${state.frame?.valid_time.replace(/[-:]/g, "").slice(0, 13) ?? ""}Z.png`);
  }

  function embedSection() {
    const field = node("textarea", { readOnly: true, rows: 4, value: embedCode(state), spellcheck: false });
    return node("section", {}, node("h3", { textContent: text("share.embed") }), copied("share.embedHint", field));
  }

  function show() {
    if (!state.source) return;
    tell("");
    const close = button("share.close", () => dialog.close());
    dialog.replaceChildren(
      node("header", {}, node("h2", { textContent: text("share.share") }), close),
      linkSection(), fileSection(), embedSection(), status);
    dialog.showModal();
  }

  const draw = () => { open.hidden = !state.source?.frames.length; };
  state.on("source", draw);
  draw();
}
