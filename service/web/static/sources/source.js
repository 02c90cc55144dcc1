// Where the frames of the map come from: a snapshot of a feed or of a nowcast, made from its TileJSON. The map, the time
// bar and the card of a place know sources only. When something new comes there is a new one.

import { json } from "../api.js";
import { pointOf } from "./point.js";

export class Source {
  #received = Date.now();

  // `tiles`: the TileJSON. `path`: the address of the feed or nowcast. `follow(onChange)`: calls it with each newer source,
  // and returns what ends that. `of(model)`: the same by another model.
  constructor(kind, name, tiles, { path, follow = () => () => {}, of = null }) {
    Object.assign(this, {
      kind,
      name,
      title: tiles.name,
      frames: tiles.frames,
      layers: tiles.layers,
      missing: tiles.missing,
      reference_time: tiles.reference_time,
      model: tiles.model,
      models: tiles.models,
      note: tiles.note,
      scored_lead_minutes: tiles.scored_lead_minutes,
      bounds: tiles.bounds,
      data_bounds: tiles.data_bounds,
      center: tiles.center,
      zooms: { min: tiles.minzoom, max: tiles.maxzoom },
      status: {
        status: tiles.status,
        reason: tiles.reason,
        age_minutes: tiles.age_minutes,
        interval_minutes: tiles.interval_minutes,
        radar_product: tiles.radar_product,
      },
      path,
      subscribe: follow,
      of,
    });
    this.isLive = kind === "feed";
    this.since = new Date(tiles.now);
  }

  // The forecast for a place, in one shape for feeds and uploads.
  point(lat, lon, options) {
    return pointOf(this.path, lat, lon, options);
  }

  // The time by the source's clock, which goes on; of an upload it stands at its reference time.
  now() {
    return this.isLive ? new Date(this.since.getTime() + Date.now() - this.#received) : this.since;
  }

  // Minutes since the newest observed frame, or since the frames of an upload.
  ageMinutes() {
    return this.status.age_minutes === null ? null : this.status.age_minutes + (Date.now() - this.#received) / 60000;
  }

  layerOf(id) {
    return this.layers.find((layer) => layer.id === id) ?? this.layers[0];
  }

  // Whether a frame has a layer: an observed one has no probability.
  has(frame, layer) {
    return !layer.kinds.length || layer.kinds.includes(frame.kind);
  }

  // The layer that is drawn of a frame: where it does not have the one that was chosen, rain.
  drawnLayer(frame, layer) {
    return this.has(frame, layer) ? layer : this.layers[0];
  }

  // Where the tiles of a frame are, as a template of Leaflet, relative to the page: a proxy may serve it below a path.
  tileUrl(frame, layer) {
    const template = this.drawnLayer(frame, layer).tiles[0].replace("{frame}", frame.id);
    return template.slice(template.indexOf("/v1/") + 1);
  }

  // The newest observed frame, from which a nowcast starts.
  newest() {
    return this.frames.findLast((frame) => frame.kind === "observed") ?? this.frames[0] ?? null;
  }

  // The frame that a layer (its id) opens with: the newest observed one, or of a probability the first forecast.
  opensWith(id) {
    const newest = this.newest();
    if (newest === null || this.has(newest, this.layerOf(id))) return newest;
    return this.frames.find((frame) => this.has(frame, this.layerOf(id))) ?? newest;
  }

  // The frame whose valid time is nearest to a time (ISO).
  frameAt(time) {
    const distance = (frame) => Math.abs(new Date(frame.valid_time) - new Date(time));
    return this.frames.reduce((best, frame) => (best === null || distance(frame) < distance(best) ? frame : best), null);
  }
}

// The TileJSON of a feed or a nowcast, by its path; of another model of the feed where one is given.
export const tileJson = (path, model = null) => json(`${path}/tiles.json${model ? `?model=${encodeURIComponent(model)}` : ""}`);
