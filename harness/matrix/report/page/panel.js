// The panel of one square: what came of it, why, and how to run it again.
import { announce, byId, count, h, outcomes, plural, seconds } from "./dom.js";
import { OUTCOMES, PASSED, SKIPPED, cases, casesIn, cellsOf, columns, detailsOf, everything, isBad } from "./data.js";
import { mark } from "./filters.js";
import { copyText, isLink, rerunCommand, visible, wireLine } from "./text.js";

const MOST_LISTED = 200;

function fact(name, ...value) {
  return value.some(Boolean) ? h("div", {}, h("dt", {}, name), h("dd", {}, value)) : null;
}

function badge(name, text = name) {
  return h("span", { class: `count ${name}` }, mark(name), text);
}

function issueLink(issue) {
  if (!issue) return null;
  const text = visible(issue);
  if (!isLink(issue)) return text;
  return h("a", { href: issue, rel: "noreferrer noopener", target: "_blank" }, text);
}

// A failure as pytest shows it; the lines that it marks with E stand out.
function failureText(text) {
  const block = h("pre", { class: "text", tabindex: "0" });
  let plain = [];
  const flush = () => {
    if (plain.length) block.append(`${plain.join("\n")}\n`);
    plain = [];
  };
  for (const line of visible(text).split("\n")) {
    if (/^E(\s|$)/.test(line)) {
      flush();
      block.append(h("span", { class: "told" }, line), "\n");
    } else {
      plain.push(line);
    }
  }
  flush();
  return block;
}

function wireText(wire) {
  return h(
    "ol", { class: "wire", tabindex: "0", "aria-label": "Wire transcript" },
    wire.split("\n").filter(Boolean).map((text) => {
      const line = wireLine(text);
      if (!line) return h("li", { class: "remark" }, visible(text));
      return h(
        "li", { class: line.toExecutor ? "out" : "in" },
        h("span", { class: "time" }, line.time, line.client ? ` #${line.client}` : ""),
        h("span", { class: "arrow", "aria-hidden": "true" }, line.toExecutor ? "\u2192" : "\u2190"),
        h("span", { class: "hidden" }, line.toExecutor ? "to the executor: " : "from the executor: "),
        h("code", {}, visible(line.message)),
      );
    }),
  );
}

function rerunPart(cell, target) {
  const command = rerunCommand(cell, target);
  if (!command) return null;
  const button = h(
    "button",
    {
      type: "button", class: "copy",
      onclick: async () => {
        const copied = await copyText(command);
        button.textContent = copied ? "Copied" : "Not copied: select it by hand";
        announce(button.textContent);
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      },
    },
    "Copy",
  );
  return h(
    "section", { class: "rerun", "aria-label": "Run it again" },
    h("div", { class: "title" }, h("h3", {}, "Run it again"), button),
    h("pre", { class: "command", tabindex: "0" }, visible(command)),
  );
}

function part(title, ...content) {
  return h("section", {}, h("h3", {}, title), content);
}

function caseParts(entry) {
  const details = detailsOf(entry);
  const parts = [
    h(
      "dl", { class: "facts" },
      fact("outcome", badge(OUTCOMES[entry.outcome])),
      fact(isBad(entry.outcome) ? "failure" : "reason", visible(entry.reason)),
      fact("owner", visible(entry.owner)),
      fact("issue", issueLink(entry.issue)),
      fact("time", seconds(entry.seconds)),
      fact("tries", entry.tries > 1 ? `${count(entry.tries)}${OUTCOMES[entry.outcome] === "flaky" ? ", the last passed" : ""}` : ""),
      fact("shard", entry.cell.shard),
    ),
    rerunPart(entry.cell, entry.node.id),
  ];
  if (!details) return parts;
  const first = OUTCOMES[entry.outcome] === "flaky" ? ", first try" : "";
  if (details.text) parts.push(part(`Failure${first}`, failureText(details.text)));
  if (details.wire) parts.push(part(`Wire transcript${first}`, wireText(details.wire)));
  for (const [heading, text] of Object.entries(details.output)) {
    parts.push(part(visible(heading), h("pre", { class: "text", tabindex: "0" }, visible(text))));
  }
  return parts;
}

export function makePanel({ onOpen, onStep, onClose }) {
  const panel = byId("panel");

  function jump(node, column, ...content) {
    return h("button", { type: "button", class: "jump", onclick: () => onOpen(node, column) }, content);
  }

  function elsewhere(node, column) {
    const others = columns.map((_, other) => other).filter((other) => other !== column);
    if (!others.length || !node.isLeaf) return null;
    return part("Elsewhere", h("ul", { class: "jumps" }, others.map((other) => {
      const found = node.cases[other].map((number) => cases[number]);
      const label = visible(columns[other].label);
      if (!found.length) return h("li", {}, h("bdi", {}, label), h("span", { class: "muted" }, "not run"));
      return h("li", {}, jump(
        node, other, h("bdi", {}, label), badge(OUTCOMES[found[0].outcome]),
        h("span", { class: "muted" }, seconds(found[0].seconds)),
      ));
    })));
  }

  function cellParts(node, column) {
    return cellsOf(node, column).map((cell) => h(
      "section", {},
      h("h3", {}, cell.shard ? `Cell ${cell.shard}` : "Cell"),
      h(
        "dl", { class: "facts" },
        fact("ended", cell.status === "finished" ? "finished" : badge(cell.status)),
        fact("reason", visible(cell.reason)),
        fact("remedy", visible(cell.remedy)),
        fact("time", cell.seconds ? `${seconds(cell.seconds)}${cell.workers ? `, ${plural(cell.workers, "worker")}` : ""}` : ""),
        Object.entries(cell.versions).map(([name, version]) => fact(visible(name), visible(version))),
      ),
      rerunPart(cell, ""),
    ));
  }

  function sumParts(node, column) {
    const found = casesIn(node, column).map((number) => cases[number]);
    const telling = found
      .filter(({ outcome }) => outcome !== PASSED && outcome !== SKIPPED)
      .sort((one, other) => one.outcome - other.outcome);
    const whole = node.kind === "suite" || node.kind === "all";
    const parts = found.length ? [h(
      "dl", { class: "facts" },
      fact("cases", h("span", { class: "counts" }, [...node.all[column]].map(
        (number, outcome) => number ? badge(OUTCOMES[outcome], outcomes(number, OUTCOMES[outcome])) : null,
      ))),
      fact("their time", seconds(found.reduce((sum, entry) => sum + entry.seconds, 0))),
    )] : [h("p", {}, "No case was run.")];
    if (node.kind === "suite") parts.push(...cellParts(node, column));
    else if (!whole && found.length) parts.push(rerunPart(found[0].cell, node.id));
    if (telling.length) {
      parts.push(part("Failures, flaky cases and gaps", h("ul", { class: "jumps" }, telling.slice(0, MOST_LISTED).map(
        (entry) => h("li", {}, jump(
          entry.node, column, badge(OUTCOMES[entry.outcome]), h("bdi", {}, visible(entry.node.id)),
          entry.reason ? h("span", { class: "muted" }, visible(entry.reason)) : null,
        )),
      ))));
    }
    if (telling.length > MOST_LISTED) {
      parts.push(h("p", { class: "muted" }, `and ${count(telling.length - MOST_LISTED)} more: expand the grid`));
    }
    return parts;
  }

  function show({ node, column }, position) {
    const label = visible(columns[column].label);
    const suite = node.suite;
    const path = [node.parent && node !== suite && node.kind !== "file" ? node.id.split("::")[0] : suite.name];
    const found = node.isLeaf ? node.cases[column].map((number) => cases[number]) : [];
    panel.replaceChildren(
      h(
        "div", { class: "panel-bar" },
        h("span", { class: "where" }, h("bdi", {}, label), position ? ` \u2013 failure ${position}` : ""),
        h("span", { class: "grow" }),
        h("button", { type: "button", "aria-label": "Previous failure", "aria-keyshortcuts": "p", onclick: () => onStep(-1) }, "\u2191"),
        h("button", { type: "button", "aria-label": "Next failure", "aria-keyshortcuts": "n", onclick: () => onStep(1) }, "\u2193"),
        h("button", { type: "button", class: "close", "aria-label": "Close", "aria-keyshortcuts": "Escape", onclick: onClose }, "\u00d7"),
      ),
      h(
        "div", { class: "panel-body" },
        node === everything || node === suite ? "" : h("p", { class: "path" }, h("bdi", {}, visible(path[0]))),
        h("h2", { id: "panel-title", tabindex: "-1" }, h("bdi", {}, visible(node.kind === "case" ? `${node.parent.name}${node.name}` : node.name)), h("span", { class: "hidden" }, ` in ${label}`)),
        ...(found.length ? found.flatMap(caseParts) : node.isLeaf ? [h("p", {}, "It was not run here.")] : sumParts(node, column)),
        elsewhere(node, column) ?? "",
      ),
    );
    panel.hidden = false;
    document.body.classList.add("with-panel");
    panel.querySelector(".panel-body").scrollTop = 0;
  }

  function hide() {
    panel.hidden = true;
    panel.replaceChildren();
    document.body.classList.remove("with-panel");
  }

  return {
    show, hide,
    hasFocus: () => panel.contains(document.activeElement),
    focus: () => byId("panel-title").focus({ preventScroll: true }),
  };
}
