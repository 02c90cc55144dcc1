// Icons of buttons, as SVG: fonts lack them. They are ornaments; a button has its name beside, or as its label.

const SVG = "http://www.w3.org/2000/svg";

// Paths on a square of 24: filled, or with a line.
const FILLED = { play: "M8 5v14l11-7z", pause: "M7 5h4v14H7zM14 5h4v14h-4z" };
const LINES = {
  back: "M15 5l-7 7 7 7",
  forward: "M9 5l7 7-7 7",
  fit: "M4 12h16M12 4v16M4 12l3-3M4 12l3 3M20 12l-3-3M20 12l-3 3M12 4l-3 3M12 4l3 3M12 20l-3-3M12 20l3-3",
  fullScreen: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  share: "M12 15V4M8 8l4-4 4 4M5 12v8h14v-8",
  layers: "M12 4l9 5-9 5-9-5zM3 14l9 5 9-5",
  key: "M14 10a4 4 0 1 0-3.5 4l1.5 1.5h2V17h2v2h4v-4l-6.2-6.2",
  here: "M12 6a6 6 0 1 0 0 12a6 6 0 1 0 0-12M12 11a1 1 0 1 0 0 2a1 1 0 1 0 0-2M12 1v5M12 18v5M1 12h5M18 12h5",
  star: "M12 3.5l2.6 5.5 6 .8-4.4 4.2 1.1 6-5.3-2.9-5.3 2.9 1.1-6L3.4 9.8l6-.8z",
  close: "M6 6l12 12M18 6L6 18",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  compare: "M12 3v18M9 8l-4 4 4 4M15 8l4 4-4 4",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `symbol ${FILLED[name] ? "filled" : ""}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", FILLED[name] ?? LINES[name]);
  svg.append(path);
  return svg;
}
