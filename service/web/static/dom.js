// Makes elements: make("p", { class: "hint", onclick: close }, "text", child).

export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

// The same by properties: node("p", { className: "hint", textContent: "text" }, child).
export function node(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter((child) => child || child === 0));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

// Replaces the children of a room. What had the focus keeps it: it is found again by its data-key, or what is beside it
// where it can no longer be pressed.
export function refill(room, ...children) {
  const { activeElement: focused } = document;
  const key = room.contains(focused) ? focused.dataset.key : undefined;
  room.replaceChildren(...children);
  const found = key && [...room.querySelectorAll("[data-key]")].find((node) => node.dataset.key === key);
  if (found) (found.disabled ? [...found.parentElement.children].findLast((node) => !node.disabled) : found).focus({ preventScroll: true });
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") node.toggleAttribute(name, value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
