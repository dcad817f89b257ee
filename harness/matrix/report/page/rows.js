// Which rows the grid has at a moment: what is expanded, what the filters leave, what is alike.
import { cells, columns, everything, isBad, suites, walk } from "./data.js";
import { choosesCases, shownColumns, state } from "./state.js";

const FEW = 250; // cases that are shown at once when a filter leaves no more

const opened = new Map(); // node -> whether the reader wants it expanded
const unfolded = new Set(); // nodes whose quiet children are to be seen

// The next change of the filters begins with nothing expanded by hand.
export function forgetOpened() {
  opened.clear();
}

export function isOpen(node) {
  if (node === everything) return true;
  return opened.get(node) ?? (choosesCases() && everything.matching <= FEW);
}

export function setOpen(node, open) {
  opened.set(node, open);
}

export function setAllOpen(open) {
  walk(everything, (node) => node.children.length && opened.set(node, open));
  unfolded.clear();
}

export function unfold(node) {
  unfolded.add(node);
}

// Makes a node's row be there.
export function reveal(node) {
  for (let above = node.parent; above; above = above.parent) {
    opened.set(above, true);
    if (quietChildren(above).length && node.isQuiet) unfolded.add(above);
  }
}

function isLeft(node) {
  return !choosesCases() || node.matching > 0;
}

// Children that passed in every column, if they are many and not all there is.
function quietChildren(node) {
  if (choosesCases() || node.kind === "all" || unfolded.has(node)) return [];
  const quiet = node.children.filter((below) => below.isQuiet);
  return quiet.length > 2 && quiet.length < node.children.length ? quiet : [];
}

// Rows from the top: {node, level, place, of, expanded} with expanded null where there is nothing below,
// and {folded: [nodes], …} for children that are alike and shown as one.
export function visibleRows() {
  const rows = [{ key: "", node: everything, level: 1, place: 1, of: 1, expanded: null }];
  const visit = (node) => {
    const left = node.children.filter(isLeft);
    const quiet = new Set(quietChildren(node));
    const own = left.filter((below) => !quiet.has(below));
    const of = own.length + (quiet.size ? 1 : 0);
    own.forEach((below, index) => {
      const expanded = below.children.length ? isOpen(below) : null;
      rows.push({ key: below.key, node: below, level: below.level, place: index + 1, of, expanded });
      if (expanded) visit(below);
    });
    if (quiet.size) {
      rows.push({
        key: `+ ${node.key}`, node, folded: [...quiet], level: node.level + 1, place: of, of, expanded: false,
      });
    }
  };
  visit(everything);
  rows[0].of = rows.filter((row) => row.level === 1).length;
  for (const row of rows.slice(1)) if (row.level === 1) row.place += 1, row.of = rows[0].of;
  return rows;
}

// The squares that fail, in the grid's order: {node, column}. Cells that broke count, at their suite.
export function badSquares() {
  const found = [];
  const shown = shownColumns();
  for (const suite of suites) {
    if (!choosesCases()) {
      for (const column of shown) {
        const broke = (cell) => cell.column === column && suites[cell.suite] === suite && cell.status === "broken";
        if (cells.some(broke)) found.push({ node: suite, column });
      }
    }
    walk(suite, (node) => {
      if (!node.isLeaf) return;
      for (const column of shown) {
        if (node.shown[column].some((number, outcome) => number && isBad(outcome))) found.push({ node, column });
      }
    });
  }
  return found;
}

// Where the open square is, as {node, column}; null if there is none or no such square.
export function openSquare(find) {
  if (state.at === null) return null;
  const node = find(state.at);
  const column = columns.findIndex(({ label }) => label === state.column);
  return node && column >= 0 ? { node, column } : null;
}
