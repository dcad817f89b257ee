// The keyboard and the mouse: in the grid as in any treegrid, and single keys for the whole page.
import { byId, h } from "./dom.js";
import { columns, everything } from "./data.js";
import { setOpen, unfold } from "./rows.js";
import { shownColumns } from "./state.js";

const OFF = "crossexec-single-keys-off";

export function driveGrid(grid, { onOpen }) {
  const { element, active } = grid;

  function toggle(row, open = !row.expanded) {
    if (row.folded) unfold(row.node);
    else if (row.expanded !== null) setOpen(row.node, open);
    grid.refresh();
  }

  // Opens what the row is about, in the column that is worst.
  function openWorst(row) {
    const shown = shownColumns();
    const worst = (column) => {
      const found = row.node.all[column].findIndex(Boolean);
      return found < 0 ? Infinity : found;
    };
    onOpen(row.node, shown.reduce((best, column) => (worst(column) < worst(best) ? column : best)));
  }

  function act(row, place) {
    if (row.folded) toggle(row);
    else if (place > 0) onOpen(row.node, shownColumns()[place - 1]);
    else if (row.expanded !== null) toggle(row);
    else if (row.node !== everything) openWorst(row);
  }

  function left(row, place) {
    if (place > 0) return grid.focus(row.key, place - 1);
    if (row.expanded && !row.folded) return toggle(row, false);
    const parent = row.folded ? row.node : row.node.parent;
    return parent ? grid.focus(parent.key, 0) : undefined;
  }

  function right(row, place) {
    if (place === 0 && row.expanded === false) return toggle(row, true);
    return grid.focus(row.key, place + 1);
  }

  const last = () => columns.length;
  const moves = {
    ArrowUp: (row, place) => grid.focus(grid.rowFrom(row.key, -1).key, place),
    ArrowDown: (row, place) => grid.focus(grid.rowFrom(row.key, 1).key, place),
    PageUp: (row, place) => grid.focus(grid.rowFrom(row.key, -grid.perPage()).key, place),
    PageDown: (row, place) => grid.focus(grid.rowFrom(row.key, grid.perPage()).key, place),
    ArrowLeft: left,
    ArrowRight: right,
    Home: (row, place, all) => (all ? grid.focus("", place) : grid.focus(row.key, 0)),
    End: (row, place, all) => (
      all ? grid.focus(grid.rowFrom(row.key, Infinity).key, place) : grid.focus(row.key, last())
    ),
    Enter: act,
    " ": act,
  };

  element.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (!move || event.altKey || event.metaKey || event.shiftKey) return;
    const row = grid.rowAt(active.key);
    if (!row || !event.target.closest(".body")) return;
    event.preventDefault();
    move(row, active.place, event.ctrlKey);
  });

  element.addEventListener("click", (event) => {
    const target = event.target.closest(".body .name, .body .square");
    if (!target || String(getSelection())) return;
    const row = grid.rowAt(target.parentElement.dataset.key);
    const place = [...target.parentElement.children].indexOf(target);
    grid.focus(row.key, place);
    act(row, place);
  });

  element.addEventListener("focusin", (event) => {
    const target = event.target.closest(".body .name, .body .square");
    if (!target) return;
    active.key = target.parentElement.dataset.key;
    active.place = [...target.parentElement.children].indexOf(target);
    grid.markSquares();
  });
}

const HELP = [
  [["n"], ["p"], "next and previous failure"],
  [["/"], "search"],
  [["?"], "these keys"],
  [["Esc"], "close the panel, back to its square"],
  [["\u2190"], ["\u2191"], ["\u2192"], ["\u2193"], "move in the grid; \u2192 and \u2190 on a name expand and collapse"],
  [["Enter"], "open a square, or expand a name"],
  [["Home"], ["End"], "first and last square of a row; with Ctrl, of the grid"],
  [["PgUp"], ["PgDn"], "a screen of rows up and down"],
  [["Tab"], "from part to part"],
];

function stored() {
  try {
    return localStorage.getItem(OFF) === "1";
  } catch { // a browser may refuse storage to pages from files
    return false;
  }
}

// Single keys for the page; they can be switched off, as they are in the way of dictation.
export function drivePage(actions) {
  const dialog = byId("help");
  let off = stored();
  const box = h("input", {
    type: "checkbox", checked: !off,
    onchange: () => {
      off = !box.checked;
      try {
        localStorage.setItem(OFF, off ? "1" : "0");
      } catch {
        // It lasts as long as the page, then.
      }
    },
  });
  const close = h("button", {}, "Close");
  dialog.append(
    h("h2", { id: "help-title" }, "Keys"),
    h("dl", {}, HELP.map((line) => h(
      "div", {},
      h("dt", {}, line.slice(0, -1).map(([key]) => h("kbd", {}, key))),
      h("dd", {}, line.at(-1)),
    ))),
    h("label", {}, box, " single keys (n, p, /, ?) are on"),
    h("form", { method: "dialog" }, close),
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  const help = () => {
    dialog.showModal();
    close.focus();
  };
  byId("keys").addEventListener("click", help);

  const keys = { n: actions.next, p: actions.previous, "/": actions.search, "?": help };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || dialog.open) return;
    if (event.key === "Escape") {
      actions.close();
      return;
    }
    const typing = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    if (off || typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
}
