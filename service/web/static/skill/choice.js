// What is chosen on the page. It stands in the address, so that a view can be shared; what is the default does not.

export const WINDOWS = [6, 24, 168, 744]; // hours
export const SCORES = ["csi", "pod", "far", "fss"];
export const DEFAULTS = { feed: null, model: null, window: 24, threshold: null, lead: null, from: "reference", score: "csi", with: [] };

const NUMBERS = ["window", "threshold", "lead"];
const ALLOWED = { from: ["reference", "publication"], score: SCORES, window: WINDOWS };

export function readChoice(search) {
  const parameters = new URLSearchParams(search);
  const choice = { ...DEFAULTS, with: parameters.getAll("with") };
  for (const name of Object.keys(DEFAULTS)) {
    const given = parameters.get(name);
    if (given === null || given === "" || name === "with") continue;
    const value = NUMBERS.includes(name) ? Number(given) : given;
    if (Number.isNaN(value) || (ALLOWED[name] && !ALLOWED[name].includes(value))) continue;
    choice[name] = value;
  }
  return choice;
}

// The address of a choice; parameters of others, such as the language, stay.
export function addressOf(choice, search) {
  const parameters = new URLSearchParams(search);
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    parameters.delete(name);
    if (name === "with") for (const model of choice.with) parameters.append(name, model);
    else if (choice[name] !== usual) parameters.set(name, choice[name]);
  }
  const text = parameters.toString();
  return text ? `?${text}` : location.pathname;
}

export const nearest = (values, wanted) =>
  values.reduce((best, value) => (Math.abs(value - wanted) < Math.abs(best - wanted) ? value : best), values[0]);
