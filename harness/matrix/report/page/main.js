// Puts the page together.
import { announce, byId } from "./dom.js";
import { columns, findNode } from "./data.js";
import { makeFilters } from "./filters.js";
import { makeGrid } from "./grid.js";
import { driveGrid, drivePage } from "./keys.js";
import { makeLedger } from "./ledger.js";
import { makePanel } from "./panel.js";
import { badSquares, forgetOpened, openSquare, reveal } from "./rows.js";
import { choose, onChange, readFragment, shownColumns, state } from "./state.js";
import { makeTimes } from "./times.js";

let bad = [];
let returning = null; // what gets the focus when the panel closes

const filters = makeFilters({ onNext: stepFailure });
const grid = makeGrid({ find: findNode });
const panel = makePanel({ onOpen: openAt, onStep: stepFailure, onClose: closePanel });

function openAt(node, column) {
  if (!panel.hasFocus()) returning = document.activeElement;
  choose({ at: node.key, column: columns[column].label });
}

function closePanel() {
  const square = openSquare(findNode);
  if (!square) return;
  const hadFocus = panel.hasFocus();
  choose({ at: null, column: null });
  if (!hadFocus) return;
  const inGrid = !returning?.isConnected || returning === document.body || grid.element.contains(returning);
  if (inGrid) grid.focus(grid.active.key, grid.active.place);
  else returning.focus();
}

function stepFailure(step) {
  bad = badSquares();
  if (!bad.length) {
    announce("No failure");
    return;
  }
  const open = openSquare(findNode);
  const at = bad.findIndex(({ node, column }) => node === open?.node && column === open.column);
  const next = at < 0 ? (step > 0 ? 0 : bad.length - 1) : (at + step + bad.length) % bad.length;
  openAt(bad[next].node, bad[next].column);
}

// Shows the square that the state names, in the grid and in the panel.
function followSquare() {
  const square = openSquare(findNode);
  if (!square) {
    panel.hide();
    grid.markSquares();
    return;
  }
  const at = bad.findIndex(({ node, column }) => node === square.node && column === square.column);
  reveal(square.node);
  grid.refresh();
  panel.show(square, at < 0 ? "" : `${at + 1} of ${bad.length}`);
  grid.focus(square.node.key, shownColumns().indexOf(square.column) + 1, { take: false });
  panel.focus();
}

onChange((changes) => {
  if (changes.filters) {
    forgetOpened();
    bad = badSquares();
    filters.update(bad.length);
    grid.refresh();
  }
  if (changes.square) followSquare();
  else if (changes.filters && openSquare(findNode)) grid.markSquares();
});

driveGrid(grid, { onOpen: openAt });
drivePage({
  next: () => stepFailure(1),
  previous: () => stepFailure(-1),
  search: () => {
    filters.search.focus();
    filters.search.select();
  },
  close: closePanel,
});
makeLedger();
makeTimes({ onOpen: openAt });
for (const link of document.querySelectorAll("[data-part]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault(); // the fragment is the filters'
    byId(link.dataset.part).scrollIntoView();
    byId(link.dataset.part).focus({ preventScroll: true });
  });
}
// A link of the ledger leads to what it filters.
byId("ledger").addEventListener("click", (event) => {
  if (event.target.closest('a[href^="#"]')) byId("grid-part").scrollIntoView();
});
for (const time of document.querySelectorAll("time")) {
  time.title = new Date(time.dateTime).toLocaleString();
}

bad = badSquares();
filters.update(bad.length);
grid.refresh();
readFragment();
document.documentElement.dataset.ready = "";
