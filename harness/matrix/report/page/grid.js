// The grid: a treegrid of which only the rows in sight exist as elements.
import { byId, count, h, outcomes, plural } from "./dom.js";
import { OUTCOMES, PASSED, cellsOf, columns, isBad } from "./data.js";
import { mark } from "./filters.js";
import { choosesCases, shownColumns } from "./state.js";
import { openSquare, setAllOpen, visibleRows } from "./rows.js";
import { shortPlace, visible } from "./text.js";

const BEYOND = 12; // rows that are kept above and below what is in sight
const MOST_PRINTED = 3000;

// What a square stands for: its counts, and how its cells ended.
function squareOf(row, column) {
  const { node, folded } = row;
  if (folded) {
    const total = folded.reduce((sum, below) => sum + below.all[column][PASSED], 0);
    const counts = OUTCOMES.map((_, outcome) => (outcome === PASSED ? total : 0));
    return { counts, states: [], aside: false, leaf: false };
  }
  const some = node.shown[column].some(Boolean);
  // A case that does not match is still worth comparing with its neighbour that does.
  const aside = node.isLeaf && !some;
  const counts = [...(aside ? node.all : node.shown)[column]];
  const states = new Set();
  if (node.kind === "suite" || node.kind === "all") {
    const inside = cellsOf(node, column);
    for (const cell of inside) if (cell.status !== "finished") states.add(cell.status);
    if (node.kind === "all" && states.has("unavailable") && inside.some((cell) => cell.status !== "unavailable")) {
      states.delete("unavailable");
    }
  }
  return { counts, states: [...states], aside, leaf: node.isLeaf };
}

export function squareWords({ counts, states, leaf }) {
  const words = counts.flatMap((number, outcome) => {
    if (!number) return [];
    return leaf && number === 1 ? [OUTCOMES[outcome]] : [outcomes(number, OUTCOMES[outcome])];
  });
  return [...states, ...words].join(", ");
}

function squareContent(square) {
  const parts = square.states.map(
    (status) => h("span", { class: `count ${status}` }, mark(status), status),
  );
  square.counts.forEach((number, outcome) => {
    if (!number) return;
    const name = OUTCOMES[outcome];
    const alone = square.leaf && number === 1;
    const text = alone ? (outcome === PASSED ? "" : name) : count(number);
    parts.push(h("span", { class: `count ${name}` }, mark(name), text));
  });
  return parts;
}

function squareElement(row, column, place) {
  const square = squareOf(row, column);
  const worst = square.counts.findIndex(Boolean);
  const bad = isBad(worst) || square.states.includes("broken");
  const words = squareWords(square);
  const nothing = choosesCases() ? "nothing that matches" : "not run";
  return h(
    "div",
    {
      class: `square${bad ? " bad" : ""}${square.aside ? " aside" : ""}`,
      role: "gridcell", tabindex: "-1", "data-column": column, "aria-colindex": place + 2,
      "aria-label": words || nothing, title: words && !square.leaf ? words : null,
    },
    h("span", { class: "counts", "aria-hidden": "true" }, words ? squareContent(square) : ""),
  );
}

function rowName({ node, folded }) {
  if (!folded) return visible(node.name);
  const what = { suite: "file", file: "function", function: "case" }[node.kind];
  return `${plural(folded.length, `more ${what}`)} passed wherever run`;
}

function rowElement(row, index) {
  const { node, folded, expanded } = row;
  const twist = expanded === null ? "" : (expanded ? " expanded" : " collapsed");
  return h(
    "div",
    {
      class: `row ${folded ? "folded" : node.kind}`, role: "row", "data-key": row.key,
      "aria-rowindex": index + 2, "aria-level": row.level, "aria-posinset": row.place, "aria-setsize": row.of,
      "aria-expanded": expanded === null ? null : String(expanded),
    },
    h(
      "div",
      {
        class: `name level-${row.level}`, role: "rowheader", tabindex: "-1", "aria-colindex": 1,
        title: folded || node.kind === "all" ? null : visible(node.id),
      },
      h("span", { class: `twist${twist}`, "aria-hidden": "true" }),
      h("bdi", { class: "label" }, rowName(row)),
    ),
    shownColumns().map((column, place) => squareElement(row, column, place)),
  );
}

export function makeGrid({ find }) {
  let rows = [];
  let places = new Map(); // key -> index in rows
  const elements = new Map(); // key -> element
  const active = { key: "", place: 0 }; // where Tab leads; place 0 is the name, then the columns
  const header = h("div", { class: "row", role: "row", "aria-rowindex": 1 });
  const body = h("div", { class: "body", role: "rowgroup" });
  const grid = h(
    "div", { id: "treegrid", role: "treegrid", "aria-label": "Outcomes by suite and environment" },
    h("div", { class: "heading", role: "rowgroup" }, header), body,
  );
  const nothing = h("p", { class: "nothing", hidden: true }, "No case matches the filters.");
  byId("grid").append(
    h(
      "div", { class: "expanders" },
      h("button", { type: "button", class: "plain", onclick: () => spread(true) }, "Expand all"),
      h("button", { type: "button", class: "plain", onclick: () => spread(false) }, "Collapse all"),
    ),
    grid, nothing,
  );

  function spread(open) {
    setAllOpen(open);
    refresh();
  }

  function rowHeight() {
    return parseFloat(getComputedStyle(grid).getPropertyValue("--row"));
  }

  // Draws everything anew: rows, columns or counts are different.
  function refresh() {
    const hadFocus = grid.contains(document.activeElement);
    const before = { index: places.get(active.key) ?? 0, key: active.key };
    rows = visibleRows();
    places = new Map(rows.map((row, index) => [row.key, index]));
    const shown = shownColumns();
    if (!places.has(before.key)) active.key = rows[Math.min(before.index, rows.length - 1)].key;
    active.place = Math.min(active.place, shown.length);
    grid.style.setProperty("--columns", shown.length);
    grid.classList.toggle("many", shown.length > 5);
    grid.setAttribute("aria-rowcount", rows.length + 1);
    grid.setAttribute("aria-colcount", shown.length + 1);
    header.replaceChildren(
      h("div", { class: "name", role: "columnheader", "aria-colindex": 1 }, "Suite, file, test"),
      ...shown.map((column, place) => h(
        "div", { class: "square", role: "columnheader", "aria-colindex": place + 2, title: visible(columns[column].label) },
        h("bdi", {}, shortPlace(columns[column].label)),
      )),
    );
    nothing.hidden = rows.length > 1;
    elements.clear();
    body.replaceChildren();
    paint();
    if (hadFocus) focus(active.key, active.place);
  }

  // Makes the rows in sight, and keeps the one with the focus wherever it is.
  function paint(most = 0) {
    const height = rowHeight();
    body.style.height = `${rows.length * height}px`;
    const first = most ? 0 : Math.max(0, Math.floor(grid.scrollTop / height) - BEYOND);
    const last = most || Math.ceil((grid.scrollTop + grid.clientHeight) / height) + BEYOND;
    const wanted = new Set(rows.slice(first, last).map((row) => row.key));
    wanted.add(active.key);
    for (const [key, element] of elements) {
      if (!wanted.has(key)) {
        element.remove();
        elements.delete(key);
      }
    }
    let next = null;
    for (const key of [...wanted].sort((one, other) => places.get(other) - places.get(one))) {
      const index = places.get(key);
      let element = elements.get(key);
      if (!element) {
        element = rowElement(rows[index], index);
        element.style.top = `${index * height}px`;
        elements.set(key, element);
        body.insertBefore(element, next);
      }
      next = element;
    }
    markSquares();
  }

  function squareAt(key, place) {
    return elements.get(key)?.children[place] ?? null;
  }

  function markSquares() {
    for (const marked of body.querySelectorAll('[tabindex="0"], .open')) {
      marked.tabIndex = -1;
      marked.classList.remove("open");
    }
    const current = squareAt(active.key, active.place);
    if (current) current.tabIndex = 0;
    const open = openSquare(find);
    const square = open && squareAt(open.node.key, shownColumns().indexOf(open.column) + 1);
    square?.classList.add("open");
  }

  // Brings a square into sight, and the focus to it if wanted.
  function focus(key, place, { take = true } = {}) {
    if (!places.has(key)) return;
    active.key = key;
    active.place = Math.max(0, Math.min(place, shownColumns().length));
    const top = places.get(key) * rowHeight();
    if (top < grid.scrollTop || top > grid.scrollTop + grid.clientHeight - 3 * rowHeight()) {
      grid.scrollTop = top - grid.clientHeight / 3;
    }
    paint();
    const square = squareAt(active.key, active.place);
    if (take) square.focus({ preventScroll: true });
    square.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  let waiting = false;
  grid.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      paint();
    });
  });
  let height = 0;
  new ResizeObserver(() => {
    if (height !== rowHeight()) {
      height = rowHeight();
      refresh();
    } else {
      paint();
    }
  }).observe(grid);
  addEventListener("beforeprint", () => paint(MOST_PRINTED));
  addEventListener("afterprint", () => paint());

  return {
    element: grid, active, refresh, focus, markSquares,
    rowAt: (key) => rows[places.get(key)],
    rowFrom: (key, step) => rows[Math.max(0, Math.min(rows.length - 1, places.get(key) + step))],
    perPage: () => Math.max(1, Math.floor(grid.clientHeight / rowHeight()) - 2),
  };
}
