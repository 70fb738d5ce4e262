// The script of an HTML report: fills, searches and sorts the list of partitions, and copies
// commands. Texts are set as text, never as HTML.
const STEP = 100;
const PRINTED = 500;
const COLUMNS = ["partition", "result", "leader", "problem", "done", "took"];
const WELL = ["recovered", "healthy", "done"];
const { texts, rows, details } = JSON.parse(document.getElementById("data").textContent);
const list = document.getElementById("list");
const byText = new Intl.Collator("en", { numeric: true }).compare;

const took = (ms) => {
  if (ms < 0) return "-";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
};
const cells = (row) => [...row.slice(0, 5).map((index) => texts[index]), took(row[5])];

const make = (name, text, classes) => {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (classes) element.className = classes;
  return element;
};

const view = { words: "", status: "", column: -1, isDescending: false, shown: STEP };

const matching = () => {
  const words = view.words.toLowerCase().split(/\s+/).filter(Boolean);
  const known = texts.map((text) => text.toLowerCase());
  const found = rows.flatMap((row, index) => {
    if (view.status !== "" && texts[row[1]] !== view.status) return [];
    const has = (word) => row.slice(0, 5).some((part) => known[part].includes(word));
    return words.every(has) ? [index] : [];
  });
  if (view.column < 0) return found;
  const { column } = view;
  const order = (a, b) =>
    column === 5 ? rows[a][5] - rows[b][5] : byText(texts[rows[a][column]], texts[rows[b][column]]);
  const sign = view.isDescending ? -1 : 1;
  return found.sort((a, b) => sign * order(a, b) || a - b);
};

/** A line whose flags are not broken behind their dashes. */
const lineOf = (text) => {
  const line = make("li");
  for (const part of text.split(/(--\w\S*)/)) {
    line.append(part.startsWith("--") ? make("span", part, "flag") : part);
  }
  return line;
};

const detailRow = (lines) => {
  const row = make("tr", undefined, "more");
  const cell = make("td");
  cell.colSpan = COLUMNS.length;
  const items = make("ul");
  for (const line of lines) items.append(lineOf(texts[line]));
  cell.append(items);
  row.append(cell);
  row.hidden = true;
  return row;
};

const rowElements = (index) => {
  const lines = details[index];
  const row = make("tr");
  cells(rows[index]).forEach((text, column) => {
    const cell = make("td", undefined, column === 0 ? "name" : "");
    cell.dataset.label = COLUMNS[column];
    if (column === 1 && !WELL.includes(text)) cell.classList.add("open");
    if (column === 0 && lines) {
      const fold = make("button", text, "fold");
      fold.type = "button";
      fold.setAttribute("aria-expanded", "false");
      cell.append(fold);
    } else {
      cell.textContent = text;
    }
    row.append(cell);
  });
  if (!lines) return [row];
  const more = detailRow(lines);
  row.querySelector(".fold").addEventListener("click", (event) => {
    more.hidden = !more.hidden;
    event.currentTarget.setAttribute("aria-expanded", String(!more.hidden));
  });
  return [row, more];
};

const draw = () => {
  const found = matching();
  const shown = found.slice(0, view.shown);
  list.tBodies[0].replaceChildren(...shown.flatMap(rowElements));
  const count = (value) => value.toLocaleString("en");
  document.getElementById("found").textContent =
    found.length === rows.length ? `${count(rows.length)}` : `${count(found.length)} found`;
  const more = document.getElementById("more");
  more.hidden = found.length <= shown.length;
  more.textContent = `Show more (${count(shown.length)} of ${count(found.length)} shown)`;
  [...list.tHead.rows[0].cells].forEach((cell, column) => {
    const direction = view.isDescending ? "descending" : "ascending";
    if (column === view.column) cell.setAttribute("aria-sort", direction);
    else cell.removeAttribute("aria-sort");
  });
};

const change = (wanted) => {
  Object.assign(view, { shown: STEP }, wanted);
  draw();
};

const makeHead = () => {
  COLUMNS.forEach((title, column) => {
    const cell = make("th");
    const button = make("button", title);
    button.type = "button";
    button.addEventListener("click", () => {
      const isSame = view.column === column;
      change({ column, isDescending: isSame && !view.isDescending });
    });
    cell.append(button);
    list.tHead.rows[0].append(cell);
  });
};

const makeFilter = () => {
  const select = document.getElementById("status");
  const option = (value, text) => {
    const made = make("option", text);
    made.value = value;
    select.append(made);
  };
  option("", "all results");
  for (const index of new Set(rows.map((row) => row[1]))) option(texts[index], texts[index]);
  select.addEventListener("change", () => change({ status: select.value }));
};

const watchPrinting = () => {
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const one of folded) one.open = true;
    if (list) change({ shown: PRINTED });
  });
  addEventListener("afterprint", () => {
    for (const one of folded) one.open = false;
    if (list) change({ shown: STEP });
  });
};

const select = (element) => {
  const range = document.createRange();
  range.selectNodeContents(element);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
};

for (const button of document.querySelectorAll(".copy-button")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      // Without permission the command is at least selected.
      select(code);
      button.textContent = "Selected";
    }
  });
}
watchPrinting();
if (list) {
  makeHead();
  makeFilter();
  const search = document.getElementById("search");
  search.addEventListener("input", () => change({ words: search.value }));
  const more = document.getElementById("more");
  more.addEventListener("click", () => change({ shown: view.shown + STEP }));
  draw();
}
