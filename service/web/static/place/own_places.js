// Own places: a short list that the user orders, on this device and in the address, in one form of text.

const NAME = "echocast-places";
const MOST = 12;
const NEAR = 0.0015; // degrees: one place

export const isSame = (one, other) => Boolean(one && other)
  && Math.abs(one.lat - other.lat) < NEAR && Math.abs(one.lon - other.lon) < NEAR;

// "52.09,5.12,Utrecht;51.92,4.48,Rotterdam"; a place that cannot be read is left out.
export function read(text) {
  const places = text.split(";").map((item) => {
    const [lat, lon, ...name] = item.split(",");
    return { lat: Number.parseFloat(lat), lon: Number.parseFloat(lon), name: name.join(",").trim().slice(0, 60) || null };
  });
  return places.filter(({ lat, lon }) => Math.abs(lat) <= 90 && Math.abs(lon) <= 180).slice(0, MOST);
}

export const write = (places) => (places?.length
  ? places.map(({ lat, lon, name }) => [rounded(lat), rounded(lon), (name ?? "").replaceAll(";", " ")].join(",")).join(";")
  : null);

// A browser may forbid storage; then the address alone has them.
export function stored() {
  try {
    return read(localStorage.getItem(NAME) ?? "");
  } catch {
    return [];
  }
}

export function store(places) {
  try {
    const text = write(places);
    if (text === null) localStorage.removeItem(NAME);
    else localStorage.setItem(NAME, text);
  } catch {
    // the address has them
  }
}

export const includes = (places, place) => places.some((one) => isSame(one, place));

export const toggled = (places, place) => (includes(places, place)
  ? places.filter((one) => !isSame(one, place))
  : [...places, place].slice(-MOST));

export function moved(places, index, by) {
  const changed = [...places];
  const [place] = changed.splice(index, 1);
  changed.splice(Math.max(0, index + by), 0, place);
  return changed;
}

const rounded = (degrees) => String(Math.round(degrees * 1e4) / 1e4);
