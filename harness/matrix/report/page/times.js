// Times as plots: rows against columns, a bar each, all on one scale.
import { byId, h, plural, seconds, svg } from "./dom.js";
import { cases, cells, columns, suites } from "./data.js";
import { visible } from "./text.js";

const MOST_FUNCTIONS = 20;
const LINE = 22; // height of a row, in pixels
const BAR = 10;
const AXIS = 22;
const GAP_BETWEEN = 14;
const LEAST_PANEL = 112;
const FIGURES = 62; // room at the end of the longest bar for its value

// A step of 1, 2 or 5 times a power of ten, so that a scale has a few of them.
function step(most, wanted) {
  const rough = most / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
}

function tick(value) {
  if (value === 0) return "0";
  return value >= 1 ? `${Number(value.toFixed(1))} s` : `${Number((value * 1000).toPrecision(3))} ms`;
}

// One SVG: rows = [{label, values: [{seconds, words, open} or null]}]; as wide as there is room.
function draw(width, { title, rows }) {
  const labelled = width >= 40 * 16;
  const aside = labelled ? Math.min(340, Math.max(120, width * 0.3)) : 0;
  const line = labelled ? LINE : LINE + 16;
  const panel = Math.max(LEAST_PANEL, (width - aside) / columns.length - GAP_BETWEEN);
  const whole = Math.max(width, aside + columns.length * (panel + GAP_BETWEEN));
  const most = Math.max(...rows.flatMap((row) => row.values.map((value) => value?.seconds ?? 0)), 0.001);
  const scale = (value) => (value / most) * (panel - FIGURES);
  const height = AXIS * 2 + rows.length * line;
  const size = step(most, Math.max(1, Math.floor((panel - FIGURES) / 64)));
  const left = (column) => aside + column * (panel + GAP_BETWEEN);

  const grid = columns.map(({ label }, column) => {
    const ticks = [];
    for (let value = 0; value <= most * 1.0001; value += size) ticks.push(value);
    return svg(
      "g", { transform: `translate(${left(column)} 0)`, "aria-hidden": "true" },
      svg("text", { class: "column", x: 0, y: 14 }, clipped(visible(label), panel / 7)),
      ticks.map((value) => [
        svg("line", { class: "rule", x1: scale(value), x2: scale(value), y1: AXIS, y2: height - AXIS }),
        svg("text", { class: "tick", x: scale(value), y: height - 7, "text-anchor": value ? "middle" : "start" }, tick(value)),
      ]),
    );
  });
  const bars = rows.map((row, index) => {
    const top = AXIS + index * line;
    const label = labelled
      ? svg("text", { class: "label", x: 0, y: top + LINE / 2 + 4 }, clipped(row.label, (aside - 10) / 7))
      : svg("text", { class: "label", x: 0, y: top + 13 }, clipped(row.label, whole / 6.7));
    label.append(svg("title", {}, row.label));
    const middle = top + (labelled ? LINE / 2 : 16 + LINE / 2);
    return [label, row.values.map((value, column) => value && svg(
      "g",
      {
        class: "value", role: "img", tabindex: "-1", "aria-label": `${row.label}, ${value.words}`,
        "data-row": index, "data-column": column, transform: `translate(${left(column)} ${middle})`,
      },
      svg("rect", { class: "target", x: 0, y: -LINE / 2, width: panel, height: LINE }),
      svg("rect", { class: "bar", x: 0, y: -BAR / 2, width: Math.max(1, scale(value.seconds)), height: BAR }),
      svg("text", { class: "figure", x: scale(value.seconds) + 5, y: 4 }, seconds(value.seconds)),
    ))];
  });
  return svg(
    "svg",
    { width: whole, height, viewBox: `0 0 ${whole} ${height}`, role: "group", "aria-label": `${title}. A bar for each; arrow keys move between them.` },
    grid, bars.flat(2),
  );
}

function clipped(text, most) {
  return text.length > most ? `${text.slice(0, Math.max(1, most - 1))}\u2026` : text;
}

function plot(description) {
  const { title, note, rows } = description;
  const words = h("p", { class: "readout", "aria-hidden": "true" }, "\u00a0");
  const area = h("div", { class: "scroll" });
  let drawn = 0;
  let at = null; // the bar that Tab leads to

  function values() {
    return [...area.querySelectorAll(".value")];
  }

  function redraw() {
    const width = Math.floor(area.clientWidth);
    if (!width || width === drawn) return;
    drawn = width;
    const focused = area.contains(document.activeElement);
    area.replaceChildren(draw(width, description));
    const first = values().find(({ dataset }) => at && dataset.row === at.row && dataset.column === at.column) ?? values()[0];
    first?.setAttribute("tabindex", "0");
    if (focused) first?.focus();
  }

  function tell(bar) {
    const { row, column } = bar.dataset;
    words.textContent = `${rows[row].label}, ${rows[row].values[column].words}`;
  }

  function move(bar, down, across) {
    const { row, column } = bar.dataset;
    for (let to = [+row + down, +column + across]; rows[to[0]]?.values[to[1]] !== undefined; to = [to[0] + down, to[1] + across]) {
      const next = area.querySelector(`[data-row="${to[0]}"][data-column="${to[1]}"]`);
      if (next) return next.focus();
    }
    return undefined;
  }

  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  area.addEventListener("keydown", (event) => {
    const bar = event.target.closest(".value");
    if (!bar) return;
    if (event.key in MOVES) move(bar, ...MOVES[event.key]);
    else if (event.key === "Enter") open(bar);
    else return;
    event.preventDefault();
  });
  const open = (bar) => rows[bar.dataset.row].values[bar.dataset.column].open();
  area.addEventListener("click", (event) => {
    const bar = event.target.closest(".value");
    if (bar) open(bar);
  });
  area.addEventListener("mouseover", (event) => {
    const bar = event.target.closest(".value");
    if (bar) tell(bar);
  });
  area.addEventListener("focusin", (event) => {
    const bar = event.target.closest(".value");
    if (!bar) return;
    for (const other of values()) other.setAttribute("tabindex", other === bar ? "0" : "-1");
    at = { ...bar.dataset };
    tell(bar);
  });
  new ResizeObserver(redraw).observe(area);

  return h(
    "section", { class: "plot" },
    h("h3", {}, title), h("p", { class: "muted" }, note), area, words,
    h("details", {}, h("summary", {}, "The same as a table"), h("div", { class: "scroll" }, table(title, rows))),
  );
}

function table(title, rows) {
  return h(
    "table", { "aria-label": title },
    h("thead", {}, h("tr", {}, h("td", {}), columns.map(({ label }) => h("th", { scope: "col", class: "number" }, visible(label))))),
    h("tbody", {}, rows.map((row) => h(
      "tr", {}, h("th", { scope: "row" }, row.label),
      row.values.map((value) => h("td", { class: "number" }, value ? seconds(value.seconds) : "\u2013")),
    ))),
  );
}

function cellRows(onOpen) {
  return suites.map((node, suite) => ({
    label: visible(node.name),
    values: columns.map(({ label }, column) => {
      const here = cells.filter((cell) => cell.suite === suite && cell.column === column && cell.seconds > 0);
      if (!here.length) return null;
      const total = here.reduce((sum, cell) => sum + cell.seconds, 0);
      const number = node.all[column].reduce((sum, some) => sum + some, 0);
      const parts = [`${plural(number, "case")}`, here.length > 1 ? plural(here.length, "shard") : plural(here[0].workers, "worker")];
      return {
        seconds: total,
        words: `${visible(label)}: ${seconds(total)} (${parts.join(", ")})`,
        open: () => onOpen(node, column),
      };
    }),
  })).filter((row) => row.values.some(Boolean));
}

function functionRows(onOpen) {
  const sums = new Map();
  for (const entry of cases) {
    const node = entry.node.kind === "case" ? entry.node.parent : entry.node;
    if (!sums.has(node)) sums.set(node, columns.map(() => ({ seconds: 0, number: 0 })));
    const sum = sums.get(node)[entry.cell.column];
    sum.seconds += entry.seconds;
    sum.number += 1;
  }
  const most = (values) => Math.max(...values.map((value) => value.seconds));
  const slowest = [...sums]
    .filter(([, values]) => most(values) > 0)
    .sort(([, one], [, other]) => most(other) - most(one))
    .slice(0, MOST_FUNCTIONS);
  const alike = (node) => slowest.filter(([other]) => other.name === node.name).length > 1;
  return slowest.map(([node, values]) => ({
    label: visible(alike(node) ? `${node.suite.name}: ${node.name}` : node.name),
    values: values.map((value, column) => value.number && value.seconds > 0 ? {
      seconds: value.seconds,
      words: `${visible(columns[column].label)}: ${seconds(value.seconds)} (${plural(value.number, "case")})`,
      open: () => onOpen(node, column),
    } : null),
  }));
}

export function makeTimes({ onOpen }) {
  const bySuite = cellRows(onOpen);
  const byFunction = functionRows(onOpen);
  if (!bySuite.length && !byFunction.length) {
    byId("times").append(h("p", { class: "muted" }, "Nothing was run."));
    return;
  }
  byId("times").append(...[
    bySuite.length ? plot({
      title: "Cells", rows: bySuite,
      note: "From the start of a suite to its end, its environment's start included.",
    }) : "",
    byFunction.length ? plot({
      title: byFunction.length < MOST_FUNCTIONS ? "Tests" : `The slowest ${MOST_FUNCTIONS} tests`, rows: byFunction,
      note: "The sum over a test's cases, the slowest first by the place where it takes longest.",
    }) : "",
  ]);
}
