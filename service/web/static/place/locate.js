// Where this device is, asked for only when the user wants it: rounded to about 100 m, less than a pixel of a radar.

import { text } from "../messages.js";

const OPTIONS = { enableHighAccuracy: false, timeout: 10000, maximumAge: 60000 };
const WORDS = { 1: "search.hereRefused", 2: "search.hereUnknown", 3: "search.hereUnknown" };

// Resolves to {lat, lon, name: null}: it is called by where it is, as "my location" moves on. Throws an Error whose message is for the user.
export function locate() {
  return new Promise((resolve, reject) => {
    if (!window.isSecureContext || !navigator.geolocation) { // browsers tell it to secure pages alone
      reject(new Error(text("search.hereInsecure")));
      return;
    }
    const round = (degrees) => Math.round(degrees * 1000) / 1000;
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => resolve({ lat: round(coords.latitude), lon: round(coords.longitude), name: null }),
      ({ code }) => reject(new Error(text(WORDS[code] ?? "search.hereUnknown"))),
      OPTIONS,
    );
  });
}
