// The results as a tree: suites, their files, functions and cases. Outcomes are numbers, the worst is 0.
import { byId } from "./dom.js";

const data = JSON.parse(byId("data").textContent);

export const OUTCOMES = data.outcomes;
export const FAILED = OUTCOMES.indexOf("failed");
export const ERROR = OUTCOMES.indexOf("error");
export const GAP = OUTCOMES.indexOf("gap");
export const SKIPPED = OUTCOMES.indexOf("skipped");
export const PASSED = OUTCOMES.indexOf("passed");
export const isBad = (outcome) => outcome === FAILED || outcome === ERROR;

export const columns = data.columns;
export const cells = data.cells;

// Every case of every cell: {number, cell, node, outcome, seconds, reason, owner, issue, tries}.
export const cases = [];

class Node {
  constructor(parent, kind, id, name) {
    this.parent = parent;
    this.kind = kind; // "all", "suite", "file", "function" or "case"
    this.id = id; // what pytest calls it
    this.name = name;
    this.level = parent ? parent.level + (parent.kind === "all" ? 0 : 1) : 1;
    this.children = [];
    this.cases = columns.map(() => []); // of this node itself, that is of a leaf, by column
    this.all = columns.map(() => new Uint32Array(OUTCOMES.length));
    this.shown = this.all; // what the filters leave of it; another array while there are filters
    this.matching = 0;
    parent?.children.push(this);
  }

  get suite() {
    return this.kind === "suite" || this.kind === "all" ? this : this.parent.suite;
  }

  get isLeaf() {
    return this.children.length === 0 && (this.kind === "function" || this.kind === "case");
  }

  // Whether it holds wherever it was run: nothing to see in any column.
  get isQuiet() {
    return this.all.every((counts) => counts.every((number, outcome) => !number || outcome === PASSED));
  }

  // Distinguishes it within the page and in links to it.
  get key() {
    if (this.kind === "all") return "";
    return this === this.suite ? this.id : `${this.suite.id} ${this.id}`;
  }
}

export const everything = new Node(null, "all", "", "All suites");
export const suites = data.suites.map((name) => new Node(everything, "suite", name, name));
export const leaves = [];
const byKey = new Map();

function parts(test) {
  const bracket = test.indexOf("[");
  const base = bracket < 0 ? test : test.slice(0, bracket);
  const colons = base.indexOf("::");
  return {
    file: colons < 0 ? base : base.slice(0, colons),
    function: base,
    functionName: colons < 0 ? base : base.slice(colons + 2),
    parameters: bracket < 0 ? "" : test.slice(bracket),
  };
}

function child(nodes, parent, kind, id, name) {
  let node = nodes.get(id);
  if (!node) nodes.set(id, (node = new Node(parent, kind, id, name)));
  return node;
}

function commonFolder(files) {
  const folders = files.map((file) => file.split("/").slice(0, -1));
  const first = folders[0] ?? [];
  let same = 0;
  while (same < first.length && folders.every((folder) => folder[same] === first[same])) same += 1;
  return same ? first.slice(0, same).join("/").length + 1 : 0;
}

function plant() {
  const trees = suites.map(() => ({ files: new Map(), functions: new Map(), tests: new Map() }));
  const split = data.tests.map(parts);
  for (const cell of cells) {
    const tree = trees[cell.suite];
    const { test, outcome, seconds, reason, owner, issue, tries } = cell.cases;
    for (let place = 0; place < test.length; place += 1) {
      const id = data.tests[test[place]];
      let node = tree.tests.get(id);
      if (!node) {
        const names = split[test[place]];
        const file = child(tree.files, suites[cell.suite], "file", names.file, names.file);
        const above = child(tree.functions, file, "function", names.function, names.functionName);
        node = new Node(above, "case", id, names.parameters);
        tree.tests.set(id, node);
      }
      const number = cases.length;
      node.cases[cell.column].push(number);
      cases.push({
        number, cell, node, place,
        outcome: outcome[place],
        seconds: seconds[place],
        reason: data.strings[reason[place]],
        owner: data.strings[owner[place]],
        issue: data.strings[issue[place]],
        tries: tries[place],
      });
    }
  }
  for (const tree of trees) {
    const folder = commonFolder([...tree.files.keys()]);
    for (const file of tree.files.values()) file.name = file.id.slice(folder);
    for (const above of tree.functions.values()) fold(above);
  }
}

// A function with one case is that case.
function fold(above) {
  if (above.children.length !== 1) return;
  const [only] = above.children;
  above.children = [];
  above.id = only.id;
  above.name += only.name;
  above.cases = only.cases;
  for (const numbers of above.cases) for (const number of numbers) cases[number].node = above;
}

// Calls visit(node) for each node, parents first.
export function walk(node, visit) {
  visit(node);
  for (const below of node.children) walk(below, visit);
}

plant();
for (const entry of cases) {
  for (let node = entry.node; node; node = node.parent) node.all[entry.cell.column][entry.outcome] += 1;
}
walk(everything, (node) => {
  byKey.set(node.key, node);
  if (node.isLeaf) leaves.push(node);
});

export function findNode(key) {
  return byKey.get(key);
}

export function cellsOf(node, column) {
  return cells.filter(
    (cell) => cell.column === column && (node.kind === "all" || suites[cell.suite] === node.suite),
  );
}

// All numbers of cases of a node in a column.
export function casesIn(node, column) {
  const found = [];
  walk(node, (below) => found.push(...below.cases[column]));
  return found;
}

const read = new Map();

// The failure's text, transcript and outputs; null where there are none.
export function detailsOf(entry) {
  const place = entry.cell.detailed.indexOf(entry.place);
  if (place < 0) return null;
  const number = cells.indexOf(entry.cell);
  if (!read.has(number)) read.set(number, JSON.parse(byId(`details-${number}`).textContent));
  return { text: "", wire: "", output: {}, ...read.get(number)[place] };
}
