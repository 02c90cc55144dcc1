// A cell of the base map as the service sends it: service/ground/cell.py says how it is written.

export const EXTENT = 8192;
const KINDS = ["land", "lakes", "rivers", "borders", "regions"];
const UTF8 = new TextDecoder();

/** @returns {{land: Line[], ..., towns: {x, y, zoom, capital, name}[]}}; a Line is {rank, points: [x, y, x, y, ...], box} */
export function decode(buffer) {
  const bytes = new Uint8Array(buffer);
  let at = 0, x = 0, y = 0;
  const number = () => {
    let value = 0, shift = 0, byte;
    do {
      byte = bytes[at++];
      value |= (byte & 127) << shift;
      shift += 7;
    } while (byte > 127);
    return value;
  };
  const step = () => {
    const value = number();
    return (value >>> 1) ^ -(value & 1);
  };
  const line = () => {
    const rank = number();
    const points = new Int32Array(2 * number());
    let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity;
    for (let i = 0; i < points.length; i += 2) {
      points[i] = x += step();
      points[i + 1] = y += step();
      left = Math.min(left, x); right = Math.max(right, x);
      top = Math.min(top, y); bottom = Math.max(bottom, y);
    }
    return { rank, points, left, top, right, bottom };
  };
  const town = () => {
    x += step();
    y += step();
    const found = { x, y, zoom: number(), capital: number() === 1 };
    const length = number();
    found.name = UTF8.decode(bytes.subarray(at, at + length));
    at += length;
    return found;
  };
  const several = (read) => Array.from({ length: number() }, read);
  const cell = Object.fromEntries(KINDS.map((kind) => [kind, several(line)]));
  cell.towns = several(town);
  return cell;
}

const ALL_SEA = { ...Object.fromEntries(KINDS.map((kind) => [kind, []])), towns: [] };

/** The cells of the base map: loaded when a tile needs them, and kept. */
export class Cells {
  constructor(index) {
    this.index = index;
    this.loaded = new Map(); // of cells, by "z/x/y"
    this.loading = new Map();
  }

  /** @returns {Cell & {z, x, y}}: the finest cell that is here for a tile; null while there is none. `onLoad` is called
   *  once a finer one has come. */
  ofTile({ z, x, y }, onLoad) {
    const levels = this.index.levels.filter((level) => level.zoom <= z);
    for (const level of levels.reverse()) {
      const shift = z - level.cells;
      const id = { z: level.cells, x: x >> shift, y: y >> shift };
      const key = `${id.z}/${id.x}/${id.y}`;
      if (this.loaded.has(key)) return { ...this.loaded.get(key), ...id };
      this.load(key).then(onLoad, () => {}); // without it the coarser one stays; the next tile tries again
    }
    return null;
  }

  load(key) {
    if (!this.loading.has(key)) {
      const loading = this.fetch(key).then((cell) => this.loaded.set(key, cell));
      loading.catch(() => {}).finally(() => this.loading.delete(key));
      this.loading.set(key, loading);
    }
    return this.loading.get(key);
  }

  async fetch(key) {
    const response = await fetch(new URL(`ground/${this.index.version}/${key}`, document.baseURI));
    if (!response.ok) throw new Error(`ground ${key}: ${response.status}`);
    return response.status === 204 ? ALL_SEA : decode(await response.arrayBuffer());
  }
}
