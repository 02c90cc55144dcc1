// Leaflet, from the wheel that carries its distribution; the script sets the global `L`.

import "../leaflet/leaflet.js";

export const { L } = globalThis;
