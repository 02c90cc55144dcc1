// Texts of messages, numbers and times in one language; for pages and for the service worker.
//
// A message has `{name}` for a value, and is an object of plural categories ("one", "other") where its words depend on the
// value `count`.

export function words(messages, locale) {
  const plurals = new Intl.PluralRules(locale);
  const formats = new Map();

  function format(Format, options) {
    const name = `${Format.name} ${JSON.stringify(options)}`;
    if (!formats.has(name)) formats.set(name, new Format(locale, options));
    return formats.get(name);
  }

  // Returns a number, by the options of Intl.NumberFormat.
  const number = (value, options = {}) => format(Intl.NumberFormat, options).format(value);

  // Returns a date (a Date, or what it is made from), by the options of Intl.DateTimeFormat; hours count to 23.
  const date = (time, options) => format(Intl.DateTimeFormat, { hourCycle: "h23", ...options }).format(new Date(time));

  // Returns the hour and minute of the day, here; with `{ timeZone: "UTC" }` there.
  const clock = (time, options = {}) => date(time, { hour: "2-digit", minute: "2-digit", ...options });

  function written(value) {
    if (typeof value === "number") return number(value);
    return value instanceof Date ? clock(value) : String(value);
  }

  // Returns the text of a key with its values: numbers by number(), dates by clock(), texts as they are.
  function text(key, values = {}) {
    const message = messages[key];
    if (message === undefined) {
      console.error(`no message ${key}`);
      return key;
    }
    const template = typeof message === "string" ? message : message[plurals.select(values.count)] ?? message.other;
    return template.replace(/\{(\w+)\}/g, (_, name) => written(values[name]));
  }

  return { text, number, date, clock };
}
