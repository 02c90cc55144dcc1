// Formats of times, rain rates and sizes.

const two = (number) => String(number).padStart(2, "0");

export const clockUtc = (iso) => {
  const time = new Date(iso);
  return `${two(time.getUTCHours())}:${two(time.getUTCMinutes())}`;
};

export const dateUtc = (iso) => {
  const time = new Date(iso);
  return `${time.getUTCFullYear()}-${two(time.getUTCMonth() + 1)}-${two(time.getUTCDate())}`;
};

export const utc = (iso) => `${dateUtc(iso)} ${clockUtc(iso)} UTC`;

export const local = (iso) => {
  const time = new Date(iso);
  const text = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZoneName: "short" }).format(time);
  const sameDay = time.getDate() === time.getUTCDate();
  return sameDay ? text : `${text}, ${time.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" })}`;
};

const oneDecimal = (number) => String(Math.round(number * 10) / 10);

export const lead = (minutes) => (minutes < 0 ? `−${oneDecimal(-minutes)} min` : `+${oneDecimal(minutes)} min`);

export const rain = (value, unit) => {
  if (value === null) return "no data";
  if (value < 0.1) return "dry";
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
};

export const bytes = (size) => {
  if (size < 1000) return `${size} B`;
  return size < 1e6 ? `${Math.round(size / 1e3)} kB` : `${(size / 1e6).toFixed(1)} MB`;
};

export const pixelSize = (km) => (km < 1 ? `${Math.round(km * 1000)} m` : `${oneDecimal(km)} km`);

// A proxy may serve the service below a path: links are taken as relative to the page.
export const relative = (href) => href.replace(/^\//, "");

// Whether a forecast frame lies beyond the longest lead time (minutes) that the model's scores cover.
export const isBeyond = ({ kind, lead_minutes: minutes }, scored) => scored !== null && kind === "forecast" && minutes > scored;
