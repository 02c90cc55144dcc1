// The service worker: without a connection it shows the page "offline", and it shows the messages of web push.
//
// It keeps the files of that page alone, and answers no other request: a forecast is never an old one. Before this text the
// gateway writes SHELL: the version of all pages and their files, and the files that are kept.

import { words } from "./static/words.js";

const { version, page, files } = self.SHELL;
const PREFIX = "echocast-";
const CACHE = PREFIX + version;
const address = (path) => new URL(path, self.registration.scope).href;

self.addEventListener("install", (event) => event.waitUntil(keep()));
self.addEventListener("activate", (event) => event.waitUntil(forgetOldVersions()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || request.url.startsWith(address("v1/"))) return;
  if (request.mode === "navigate") event.respondWith(fetch(request).catch(() => kept(address(page))));
  else if (files.some((path) => address(path) === request.url)) event.respondWith(fetch(request).catch(() => kept(request.url)));
});
self.addEventListener("push", (event) => event.waitUntil(show(event.data.json())));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(address(event.notification.data)));
});

async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll([page, ...files].map((path) => new Request(address(path), { cache: "no-cache" })));
  await self.skipWaiting();
}

async function forgetOldVersions() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function kept(url) {
  return (await (await caches.open(CACHE)).match(url)) ?? Response.error();
}

// Shows a message of `service/web_push/ledger.py`, in the language in which the place was subscribed to.
async function show(message) {
  const { text, number } = await wordsOf(message.language);
  const onset = new Date(message.onset);
  const what = message.of_probability
    ? text("push.messageProbability", { limit: message.limit, probability: number(message.probability, { style: "percent" }) })
    : text("push.messageRate", { rate: message.rain_rate });
  const minutes = Math.round((onset - Date.now()) / 60000);
  const values = { onset, minutes, what, reference: new Date(message.reference_time) };
  await self.registration.showNotification(text("push.messageTitle", { place: message.name }), {
    body: minutes > 0 ? text("push.messageBody", values) : text("push.messageBodyNow", values),
    tag: message.id,
    renotify: true,
    lang: message.language,
    icon: address("static/icons/icon-192.png"),
    badge: address("static/icons/badge-96.png"),
    timestamp: onset.getTime(),
    data: message.address,
  });
}

async function wordsOf(language) {
  const path = files.find((file) => file.endsWith(`messages/${language}.json`)) ?? files.find((file) => file.endsWith("messages/en.json"));
  const response = await fetch(address(path)).catch(() => kept(address(path)));
  return words(await response.json(), language === "en" ? "en-GB" : language);
}

async function open(url) {
  const windows = await self.clients.matchAll({ type: "window" });
  const shown = windows.find((window) => window.url === url);
  return shown ? shown.focus() : self.clients.openWindow(url);
}
