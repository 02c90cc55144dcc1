// Tables: the values behind each chart, and those of warnings.

export function table(caption, heads, rows) {
  const element = document.createElement("table");
  const title = document.createElement("caption");
  title.textContent = caption;
  const head = document.createElement("thead");
  head.append(line("th", heads, { scope: "col" }));
  const body = document.createElement("tbody");
  body.append(...rows.map((cells) => line("td", cells, {}, heads)));
  element.append(title, head, body);
  return element;
}

// A row; the first cell of a body's row is its heading. Each cell knows its column, for narrow screens.
function line(kind, cells, attributes, heads = null) {
  const row = document.createElement("tr");
  cells.forEach((content, index) => {
    const cell = document.createElement(heads && !index ? "th" : kind);
    if (heads && !index) cell.scope = "row";
    for (const [name, value] of Object.entries(attributes)) cell.setAttribute(name, value);
    if (heads) cell.dataset.column = heads[index];
    if (content instanceof Node) cell.append(content);
    else cell.textContent = content;
    row.append(cell);
  });
  return row;
}

export function paragraph(content, className = "") {
  const element = document.createElement("p");
  element.textContent = content;
  if (className) element.className = className;
  return element;
}
