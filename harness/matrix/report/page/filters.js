// The bar above the grid: what to look for, and how much was found.
import { count, byId, h, outcomes, plural } from "./dom.js";
import { GAP, OUTCOMES, SKIPPED, cases, columns, everything } from "./data.js";
import { choose, clearFilters, isFiltered, matching, state } from "./state.js";
import { visible } from "./text.js";

const ANY = "*";
const LONGEST_LIST = 400;

function toggled(list, name) {
  return list.includes(name) ? list.filter((other) => other !== name) : [...list, name];
}

export function mark(outcome) {
  return h("span", { class: `mark ${outcome}`, "aria-hidden": "true" });
}

function outcomeChips() {
  return OUTCOMES.map((name, outcome) => {
    const total = everything.all.reduce((sum, counts) => sum + counts[outcome], 0);
    if (!total) return null;
    return h(
      "button",
      {
        type: "button", class: `chip ${name}`, "data-outcome": name, "aria-pressed": "false",
        onclick: () => choose({ outcomes: toggled(state.outcomes, name) }),
      },
      mark(name), outcomes(total, name),
    );
  });
}

function environmentChips() {
  if (columns.length < 2) return [];
  return columns.map(({ label }) => h(
    "button",
    {
      type: "button", class: "chip", "data-env": label, "aria-pressed": "false",
      onclick: () => choose({ where: toggled(state.where, label) }),
    },
    h("bdi", {}, visible(label)),
  ));
}

function tally(field) {
  const totals = new Map();
  for (const entry of cases) {
    if (entry.outcome !== GAP && !(field === "reason" && entry.outcome === SKIPPED)) continue;
    totals.set(entry[field], (totals.get(entry[field]) ?? 0) + 1);
  }
  return [...totals].sort(([, one], [, other]) => other - one);
}

function select(field, title, nobody) {
  const choices = tally(field).filter(([text]) => text || nobody);
  if (!choices.length || (field === "owner" && !choices.some(([text]) => text))) return null;
  return h(
    "label", { class: "choice" }, `${title} `,
    h(
      "select",
      {
        "data-field": field, "aria-label": title,
        onchange: (event) => {
          const { value } = event.target;
          choose({ [field]: value === ANY ? null : value.slice(1) });
        },
      },
      h("option", { value: ANY }, "any"),
      choices.slice(0, LONGEST_LIST).map(([text, total]) => h(
        "option", { value: `=${text}` }, `${shortened(visible(text)) || nobody} (${count(total)})`,
      )),
    ),
  );
}

function shortened(text) {
  return text.length > 90 ? `${text.slice(0, 88)}\u2026` : text;
}

export function makeFilters({ onNext }) {
  const search = h("input", {
    type: "search", id: "search", placeholder: "Test or reason", "aria-label": "Text in the test's name or the reason",
    "aria-keyshortcuts": "/", spellcheck: "false", autocomplete: "off",
    oninput: () => choose({ q: search.value }),
    onkeydown: (event) => {
      if (event.key === "Escape" && search.value) {
        event.stopPropagation();
        choose({ q: "" });
      }
    },
  });
  const found = h("span", { class: "found", role: "status" });
  const reset = h("button", { type: "button", class: "plain", id: "reset", onclick: clearFilters }, "Clear filters");
  const failures = h(
    "button",
    { type: "button", id: "next", "aria-keyshortcuts": "n", onclick: () => onNext(1) },
  );
  byId("filters").append(
    h(
      "div", { class: "line" },
      h("div", { class: "field" }, search, h("kbd", { "aria-hidden": "true" }, "/")),
      h("div", { class: "chips", role: "group", "aria-label": "Outcome" }, outcomeChips()),
      h("span", { class: "grow" }),
      failures,
    ),
    h(
      "div", { class: "line" },
      h("div", { class: "chips", role: "group", "aria-label": "Environment" }, environmentChips()),
      select("owner", "Owner", "nobody named"),
      select("reason", "Reason", "none given"),
      h("span", { class: "grow" }), found, reset,
    ),
  );

  function update(badSquares) {
    if (search.value !== state.q) search.value = state.q;
    for (const chip of byId("filters").querySelectorAll("[aria-pressed]")) {
      const { outcome, env } = chip.dataset;
      const pressed = outcome ? state.outcomes.includes(outcome) : state.where.includes(env);
      chip.setAttribute("aria-pressed", String(pressed));
    }
    for (const list of byId("filters").querySelectorAll("select")) {
      const wanted = state[list.dataset.field];
      const value = wanted === null ? ANY : `=${wanted}`;
      if (wanted !== null && ![...list.options].some((option) => option.value === value)) {
        list.append(h("option", { value }, shortened(visible(wanted))));
      }
      list.value = value;
    }
    found.textContent = isFiltered()
      ? `${count(matching.size)} of ${plural(cases.length, "case")} match${matching.size === 1 ? "es" : ""}`
      : plural(cases.length, "case");
    reset.hidden = !isFiltered();
    failures.disabled = !badSquares;
    failures.replaceChildren(
      badSquares ? "Next failure " : "No failure",
      ...(badSquares ? [h("kbd", { "aria-hidden": "true" }, "n")] : []),
    );
  }

  return { update, search };
}
