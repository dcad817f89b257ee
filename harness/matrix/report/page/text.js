// Texts of tests and programs: shown as they are, with nothing in them hidden.

const PICTURED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]/gu;

const NAMED = { 0: "NUL", 7: "BEL", 8: "BS", 13: "CR", 27: "ESC", 127: "DEL" };

// Characters without a shape, and those that turn the text around them, by name.
export function visible(text) {
  return text.replace(PICTURED, (character) => {
    const code = character.codePointAt(0);
    return `\u2039${NAMED[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`}\u203a`;
  });
}

// One word for a POSIX shell.
export function quoted(word) {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", `'"'"'`)}'`;
}

// What a person would copy to run one test, file or suite of a cell again.
export function rerunCommand(cell, target) {
  return cell.target ? `${cell.rerun} ${quoted(target || cell.target)}`.trimStart() : "";
}

export function isLink(text) {
  return /^https?:\/\//i.test(text);
}

// A URL by what tells it from the others.
export function shortPlace(label) {
  return visible(label).replace(/^wss?:\/\/([^ ]+?)\/?(?= |$)/i, "$1");
}

const MESSAGE = /^\s*([\d.]+)\s+(?:(\d+)\s+)?(->|<-)\s(.*)$/s;

// The parts of one line of a wire transcript, as harness/client/transcript.py writes it; null for a remark.
export function wireLine(line) {
  const parts = MESSAGE.exec(line);
  if (!parts) return null;
  const [, time, client, arrow, message] = parts;
  return { time, client, toExecutor: arrow === "->", message };
}

export async function copyText(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed for this page: the older way needs no permission.
    }
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden";
  document.body.append(area);
  const focused = document.activeElement;
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return copied;
}
