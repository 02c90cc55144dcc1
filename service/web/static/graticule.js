// Meridians and parallels over the map, labelled with their degrees at the edge.

const SVG = "http://www.w3.org/2000/svg";

export function drawGraticule(svg, marks, lines) {
  svg.replaceChildren(...lines.map(({ points }) => {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", points.map(([x, y], number) => `${number ? "L" : "M"}${x} ${y}`).join(""));
    return path;
  }));
  marks.replaceChildren(...lines.map(label).filter(Boolean));
}

// Parallels are labelled at the left edge, meridians at the top, where the line enters the picture.
function label({ label: text, points }) {
  const meridian = /[EW]$/.test(text);
  const along = meridian ? 1 : 0;
  const crossing = points.findIndex((point, number) => number > 0 && (point[along] >= 0) !== (points[number - 1][along] >= 0));
  if (crossing < 1) return null;
  const [before, after] = [points[crossing - 1], points[crossing]];
  const share = -before[along] / (after[along] - before[along]);
  const across = before[1 - along] + share * (after[1 - along] - before[1 - along]);
  if (across < 0.01 || across > 0.87) return null;
  const mark = document.createElement("span");
  mark.textContent = text;
  mark.style.left = meridian ? `${across * 100}%` : "0";
  mark.style.top = meridian ? "0" : `${across * 100}%`;
  return mark;
}
