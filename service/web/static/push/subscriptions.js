// The places that this browser has subscribed to: kept on the device, recorded by the service.

import { call, json } from "../api.js";

const NAME = "echocast-bells";
const RENEW_MS = 24 * 3600_000;
const PATH = "v1/push/subscriptions";

export function all() {
  try {
    return JSON.parse(localStorage.getItem(NAME)) ?? [];
  } catch { // a browser that keeps nothing, or something else of that name
    return [];
  }
}

const keep = (subscriptions) => localStorage.setItem(NAME, JSON.stringify(subscriptions));
const rounded = (degrees) => Math.round(degrees * 1e4) / 1e4; // as the address of the page has places

export const find = ({ feed, lat, lon }) =>
  all().find((known) => known.feed === feed && known.lat === rounded(lat) && known.lon === rounded(lon));

export async function add(place, key, language) {
  const browser = await browserSubscription(key);
  await record({ ...place, lat: rounded(place.lat), lon: rounded(place.lon) }, browser, language);
}

export async function remove({ id }) {
  try {
    await call(`${PATH}/${id}`, { method: "DELETE" });
  } catch (problem) {
    if (problem.status !== 404) throw problem;
  }
  keep(all().filter((known) => known.id !== id));
  if (!all().length) await (await current())?.unsubscribe();
}

// Tells the service, at most once a day, that this browser is still there; forgets everything where it no longer is.
export async function renew(key, language) {
  const known = all();
  if (!known.length) return;
  if (Notification.permission !== "granted") {
    await Promise.allSettled(known.map(remove));
    return;
  }
  const browser = await browserSubscription(key);
  for (const place of known) {
    if (Date.now() - place.renewed > RENEW_MS || place.endpoint !== browser.endpoint) await record(place, browser, language);
  }
}

async function record({ feed, lat, lon, name }, browser, language) {
  const place = { feed, lat, lon, name: (name ?? `${lat.toFixed(2)}, ${lon.toFixed(2)}`).slice(0, 80) };
  const body = JSON.stringify({ subscription: browser.toJSON(), ...place, language });
  const recorded = await json(PATH, { method: "POST", body, headers: { "Content-Type": "application/json" } });
  const { id, within, rain_rate, probability } = recorded;
  const own = { id, within, rain_rate, probability, ...place, endpoint: browser.endpoint, renewed: Date.now() };
  keep([...all().filter((other) => other.id !== id && !(other.feed === feed && other.lat === lat && other.lon === lon)), own]);
}

const current = async () => (await navigator.serviceWorker.ready).pushManager.getSubscription();

async function browserSubscription(key) {
  const { pushManager } = await navigator.serviceWorker.ready;
  const options = { userVisibleOnly: true, applicationServerKey: key };
  try {
    return await pushManager.subscribe(options);
  } catch (error) {
    if (error.name !== "InvalidStateError") throw error;
    await (await pushManager.getSubscription()).unsubscribe(); // the service has another key now
    return pushManager.subscribe(options);
  }
}
