// The legend, drawn from the service's colour scale: the page has no colours of its own.

export function drawLegend(box, legend, { title, dry }) {
  const unit = document.createElement("p");
  unit.className = "unit";
  unit.textContent = `${title}, ${legend.unit}`;
  const list = document.createElement("ol");
  for (const item of legend.classes) {
    const row = document.createElement("li");
    const patch = document.createElement("i");
    patch.style.background = item.colour;
    row.append(patch, document.createTextNode(String(item.lower)));
    row.title = item.upper === null ? `${item.lower} ${legend.unit} and more` : `${item.lower} to ${item.upper} ${legend.unit}`;
    list.append(row);
  }
  const keys = document.createElement("div");
  keys.className = "keys";
  keys.append(key(legend.dry.colour, `${dry} (below ${legend.dry.below}${legend.unit === "%" ? " %" : ""})`), key(hatching(legend), `no data: ${legend.no_data.meaning}`));
  box.replaceChildren(unit, list, keys);
}

function key(background, text) {
  const item = document.createElement("span");
  item.className = "key";
  const patch = document.createElement("i");
  patch.style.background = background;
  item.append(patch, text);
  return item;
}

const hatching = ({ no_data: { colours: [dark, light] } }) =>
  `repeating-linear-gradient(135deg, ${dark} 0 3px, ${light} 3px 6px)`;

export function colourOf(legend, rain) {
  if (rain < legend.dry.below) return legend.dry.colour;
  return legend.classes.findLast((item) => rain >= item.lower).colour;
}
