// Draws a map tile of the base map: `fills` goes below the radar, `lines` (coasts, borders, names) above it.

import { EXTENT } from "./cell.js";

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif';
const NAME_REACH = 256; // pixels: no name is longer

/** Colours of the base map, from the CSS variables --ground-* of an element. */
export function coloursOf(element) {
  const style = getComputedStyle(element);
  const colour = (name) => style.getPropertyValue(`--ground-${name}`).trim();
  const names = ["sea", "land", "lake", "river", "coast", "casing", "border", "region", "graticule", "name", "halo", "dot"];
  return Object.fromEntries(names.map((name) => [name, colour(name)]));
}

/** Position and scale of a tile within a cell. */
function placeOf(cell, { z, x, y }, size) {
  const tiles = 2 ** (z - cell.z); // in the side of the cell
  const units = EXTENT / tiles; // in the side of the tile
  const left = (x - cell.x * tiles) * units, top = (y - cell.y * tiles) * units;
  const seams = [cell.x === 0 ? 0 : NaN, cell.x === 2 ** cell.z - 1 ? EXTENT : NaN]; // where the earth is cut open
  return { left, top, units, scale: size / units, seams };
}

export function fills(pen, cell, tile, size, colours) {
  pen.fillStyle = colours.sea;
  pen.fillRect(0, 0, size, size);
  if (cell === null) return;
  const place = placeOf(cell, tile, size);
  for (const [kind, colour] of [["land", colours.land], ["lakes", colours.lake]]) {
    pen.beginPath();
    trace(pen, cell[kind], place, true);
    pen.fillStyle = colour;
    pen.fill("evenodd");
  }
  pen.strokeStyle = colours.river;
  pen.lineJoin = pen.lineCap = "round";
  const shown = cell.rivers.filter((river) => river.rank <= tile.z);
  for (const rank of new Set(shown.map((river) => river.rank))) {
    pen.beginPath();
    trace(pen, shown.filter((river) => river.rank === rank), place, false);
    pen.lineWidth = Math.min(2.5, Math.max(0.6, 0.6 + (tile.z - rank) * 0.22));
    pen.stroke();
  }
}

export function lines(pen, cell, tile, size, colours, { graticule }) {
  pen.clearRect(0, 0, size, size);
  if (graticule) drawGraticule(pen, tile, size, colours);
  if (cell === null) return;
  const place = placeOf(cell, tile, size);
  pen.lineJoin = "round";
  stroke(pen, cell.land, place, colours.casing, 2.6); // light lines are seen on light rain by it
  stroke(pen, cell.borders, place, colours.casing, 2.8);
  stroke(pen, cell.regions.filter(({ rank }) => rank < tile.z), place, colours.region, 0.8, [4, 3]);
  stroke(pen, cell.lakes, place, colours.coast, 0.6);
  stroke(pen, cell.land, place, colours.coast, tile.z < 5 ? 0.7 : 1);
  stroke(pen, cell.borders.filter(({ rank }) => rank === 0), place, colours.border, tile.z < 5 ? 0.8 : 1.2);
  stroke(pen, cell.borders.filter(({ rank }) => rank > 0), place, colours.border, 1, [2, 3]);
  names(pen, cell, tile, place, colours);
}

function stroke(pen, shapes, place, colour, width, dash = []) {
  pen.beginPath();
  trace(pen, shapes, place, false);
  pen.setLineDash(dash);
  pen.lineWidth = width;
  pen.strokeStyle = colour;
  pen.stroke();
  pen.setLineDash([]);
}

/** Add lines, or areas, to the path. Points are left out where that changes nothing within the tile. */
function trace(pen, shapes, { left, top, units, scale, seams }, filled) {
  const edge = 8 / scale; // wider than any line
  const west = left - edge, north = top - edge, east = left + units + edge, south = top + units + edge;
  const side = (x, y) => (x < west ? 1 : x > east ? 2 : 0) | (y < north ? 4 : y > south ? 8 : 0);
  for (const { points, ...box } of shapes) {
    if (box.right < west || box.left > east || box.bottom < north || box.top > south) continue;
    const last = points.length - 2;
    let drawn = side(points[0], points[1]);
    for (let i = 0; i <= last; i += 2) {
      const x = points[i], y = points[i + 1], here = side(x, y);
      const next = i < last ? side(points[i + 2], points[i + 3]) : 0;
      if (i > 0 && drawn & here & next) continue;
      const across = (x - left) * scale, down = (y - top) * scale;
      const seam = !filled && x === points[i - 2] && seams.includes(x);
      if (i === 0 || seam) pen.moveTo(across, down);
      else pen.lineTo(across, down);
      drawn = here;
    }
  }
}

function names(pen, cell, tile, { left, top, units, scale }, colours) {
  const reach = NAME_REACH / scale;
  pen.textBaseline = "middle";
  for (const town of cell.towns.toReversed()) { // the most important last, above the others
    if (town.zoom > tile.z || town.x < left - reach || town.x > left + units + reach) continue;
    if (town.y < top - reach || town.y > top + units + reach) continue;
    const x = (town.x - left) * scale, y = (town.y - top) * scale;
    const larger = Math.min(3, 0.75 * Math.max(0, tile.z - Math.max(town.zoom, 4)));
    pen.font = `${town.capital || larger >= 3 ? 600 : 500} ${11.5 + larger}px ${FONT}`;
    pen.fillStyle = colours.halo;
    circle(pen, x, y, town.capital ? 4 : 3.2);
    pen.fillStyle = colours.dot;
    circle(pen, x, y, town.capital ? 2.7 : 2);
    pen.lineJoin = "round";
    pen.lineWidth = 3;
    pen.strokeStyle = colours.halo;
    pen.strokeText(town.name, x + 6, y);
    pen.fillStyle = colours.name;
    pen.fillText(town.name, x + 6, y);
  }
}

function circle(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

/** Degrees between the lines of the graticule at a zoom. */
export function graticuleStep(zoom) {
  return [30, 30, 20, 10, 10, 5, 2, 1, 0.5, 0.25, 0.1, 0.05, 0.02][Math.min(12, Math.max(0, Math.floor(zoom)))];
}

function drawGraticule(pen, { z, x, y }, size, colours) {
  const tiles = 2 ** z, step = graticuleStep(z);
  const lonAt = (column) => (column / tiles) * 360 - 180;
  const latAt = (row) => (Math.atan(Math.sinh(Math.PI * (1 - (2 * row) / tiles))) * 180) / Math.PI;
  const rowOf = (lat) => ((1 - Math.asinh(Math.tan((lat * Math.PI) / 180)) / Math.PI) / 2) * tiles;
  pen.beginPath();
  for (let i = Math.ceil(lonAt(x) / step); i * step < lonAt(x + 1); i++) {
    const across = ((i * step + 180) / 360 * tiles - x) * size;
    pen.moveTo(across, 0);
    pen.lineTo(across, size);
  }
  for (let i = Math.ceil(latAt(y + 1) / step); i * step <= latAt(y); i++) {
    const down = (rowOf(i * step) - y) * size;
    pen.moveTo(0, down);
    pen.lineTo(size, down);
  }
  pen.strokeStyle = colours.graticule;
  pen.lineWidth = 0.7;
  pen.stroke();
}
