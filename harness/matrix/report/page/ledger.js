// The gap ledger: who would have to mend what, and where it is met.
import { byId, count, h, plural } from "./dom.js";
import { GAP, cases, columns } from "./data.js";
import { fragmentOf } from "./state.js";
import { isLink, visible } from "./text.js";

// Gaps by owner, then by reason, the most frequent first.
function ledger() {
  const owners = new Map();
  for (const entry of cases) {
    if (entry.outcome !== GAP) continue;
    if (!owners.has(entry.owner)) owners.set(entry.owner, new Map());
    const reasons = owners.get(entry.owner);
    if (!reasons.has(entry.reason)) {
      reasons.set(entry.reason, { total: 0, where: new Map(), issues: new Set(), tests: new Set() });
    }
    const line = reasons.get(entry.reason);
    line.total += 1;
    line.where.set(entry.cell.column, (line.where.get(entry.cell.column) ?? 0) + 1);
    line.tests.add(entry.node);
    if (entry.issue) line.issues.add(entry.issue);
  }
  const most = ([, one], [, other]) => other.total - one.total;
  return [...owners]
    .map(([owner, reasons]) => {
      const lines = [...reasons].sort(most);
      return [owner, { lines, total: lines.reduce((sum, [, line]) => sum + line.total, 0) }];
    })
    .sort(most);
}

function issueCell(issues) {
  return [...issues].map((issue) => {
    const text = visible(issue);
    const short = text.replace(/^https?:\/\/(www\.)?/i, "");
    return h("div", {}, isLink(issue) ? h("a", { href: issue, rel: "noreferrer noopener", target: "_blank" }, short) : text);
  });
}

function whereCell(where) {
  return [...where].sort(([one], [other]) => one - other).map(([column, number]) => h(
    "div", {}, h("bdi", {}, visible(columns[column].label)), columns.length > 1 ? ` ${count(number)}` : "",
  ));
}

function ownerPart([owner, { lines, total }]) {
  const name = owner ? visible(owner) : "Nobody named";
  const hasIssues = lines.some(([, { issues }]) => issues.size);
  return h(
    "section", { class: "owner" },
    h(
      "h3", {}, h("bdi", {}, name), " ",
      h(
        "a", { class: "muted", href: fragmentOf({ outcomes: ["gap"], owner }) },
        `${plural(total, "case")}, ${plural(lines.length, "reason")}`,
      ),
    ),
    h("div", { class: "scroll" }, h(
      "table", { class: "ledger", "aria-label": `Known gaps: ${name}` },
      h("thead", {}, h(
        "tr", {},
        ["Reason", "Cases", "Where", ...(hasIssues ? ["Issue"] : [])].map(
          (title) => h("th", { scope: "col", class: title === "Cases" ? "number" : null }, title),
        ),
      )),
      h("tbody", {}, lines.map(([reason, { total: number, where, issues }]) => h(
        "tr", {},
        h("td", { class: "reason" }, h(
          "a", { href: fragmentOf({ outcomes: ["gap"], owner, reason }) },
          h("bdi", {}, visible(reason) || "none given"),
        )),
        h("td", { class: "number" }, count(number)),
        h("td", {}, whereCell(where)),
        hasIssues ? h("td", {}, issueCell(issues)) : null,
      ))),
    )),
  );
}

export function makeLedger() {
  const owners = ledger();
  byId("ledger").append(...(owners.length ? owners.map(ownerPart) : [h("p", { class: "muted" }, "There are none.")]));
}
