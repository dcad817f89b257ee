// What the reader has chosen: filters and the square that is open. It is kept in the address's fragment.
import { OUTCOMES, cases, columns, everything, walk } from "./data.js";

const NONE = { q: "", outcomes: [], where: [], owner: null, reason: null, at: null, column: null };

export const state = { ...NONE };
const listeners = [];

// Calls listener(changes) after each change; changes.filters and changes.square say what may be different.
export function onChange(listener) {
  listeners.push(listener);
}

export function isFiltered() {
  return Boolean(state.q.trim()) || state.outcomes.length > 0 || state.where.length > 0
    || state.owner !== null || state.reason !== null;
}

// Whether the filters leave out cases, not only columns.
export function choosesCases() {
  return Boolean(state.q.trim()) || state.outcomes.length > 0 || state.owner !== null || state.reason !== null;
}

export function shownColumns() {
  const all = columns.map((_, column) => column);
  const chosen = all.filter((column) => state.where.includes(columns[column].label));
  return chosen.length ? chosen : all;
}

export function fragmentOf(wanted) {
  const fields = new URLSearchParams();
  if (wanted.q?.trim()) fields.set("q", wanted.q);
  if (wanted.outcomes?.length) fields.set("outcome", wanted.outcomes.join(","));
  for (const label of wanted.where ?? []) fields.append("env", label);
  for (const name of ["owner", "reason", "at", "column"]) {
    if (typeof wanted[name] === "string") fields.set(name, wanted[name]);
  }
  return `#${fields}`;
}

function fromFragment(fragment) {
  const fields = new URLSearchParams(fragment.replace(/^#/, ""));
  return {
    q: fields.get("q") ?? "",
    outcomes: (fields.get("outcome") ?? "").split(",").filter((name) => OUTCOMES.includes(name)),
    where: fields.getAll("env").filter((label) => columns.some((column) => column.label === label)),
    owner: fields.get("owner"),
    reason: fields.get("reason"),
    at: fields.get("at"),
    column: fields.get("column"),
  };
}

const textOf = new Map();

// What the text filter looks through, in small letters.
function haystack(entry) {
  const key = `${entry.node.id}\n${entry.reason}`;
  let text = textOf.get(key);
  if (text === undefined) textOf.set(key, (text = key.toLowerCase()));
  return text;
}

function matcher() {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const outcomes = new Set(state.outcomes.map((name) => OUTCOMES.indexOf(name)));
  const shown = new Set(shownColumns());
  return (entry) => shown.has(entry.cell.column)
    && (!outcomes.size || outcomes.has(entry.outcome))
    && (state.owner === null || entry.owner === state.owner)
    && (state.reason === null || entry.reason === state.reason)
    && words.every((word) => haystack(entry).includes(word));
}

export const matching = new Set(); // numbers of cases

function applyFilters() {
  const matches = matcher();
  matching.clear();
  walk(everything, (node) => {
    node.matching = 0;
    node.shown = columns.map(() => new Uint32Array(OUTCOMES.length));
  });
  for (const entry of cases) {
    if (!matches(entry)) continue;
    matching.add(entry.number);
    for (let node = entry.node; node; node = node.parent) {
      node.matching += 1;
      node.shown[entry.cell.column][entry.outcome] += 1;
    }
  }
}

const FILTERS = ["q", "outcomes", "where", "owner", "reason"];

function apply(wanted) {
  const differs = (name) => JSON.stringify(wanted[name]) !== JSON.stringify(state[name]);
  const changes = { filters: FILTERS.some(differs), square: differs("at") || differs("column") };
  Object.assign(state, wanted);
  if (changes.filters) applyFilters();
  if (changes.filters || changes.square) for (const listener of listeners) listener(changes);
}

// Chooses anew what *wanted* names and keeps the rest.
export function choose(wanted) {
  const next = { ...state, ...wanted };
  const fragment = fragmentOf(next);
  // Browsers limit how often this may be called, and throw; the next change brings it in step.
  try {
    history.replaceState(null, "", fragment === "#" ? location.pathname + location.search : fragment);
  } catch {
    // The address stays behind.
  }
  apply(next);
}

export function clearFilters() {
  choose({ ...NONE, at: state.at, column: state.column });
}

export function readFragment() {
  apply(fromFragment(location.hash));
}

applyFilters();
addEventListener("hashchange", readFragment);
