// Making elements, and words for numbers.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

// An element; children are nodes and texts. Markup is never made from text.
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function byId(name) {
  return document.getElementById(name);
}

// Says something to who cannot see the page.
export function announce(text) {
  byId("told").textContent = text;
}

export function count(number) {
  return number.toLocaleString("en");
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

// "3 gaps", "1 failed"
export function outcomes(number, outcome) {
  return `${count(number)} ${outcome}${number !== 1 && (outcome === "gap" || outcome === "error") ? "s" : ""}`;
}

export function seconds(value) {
  if (value > 0 && value < 0.01) return `${(value * 1000).toFixed(value < 0.001 ? 1 : 0)} ms`;
  if (value < 10) return `${value.toFixed(2)} s`;
  if (value < 100) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

// "a, b and c", or the first of them and how many more there are.
export function join(words, most = Infinity) {
  const shown = words.length > most
    ? [...words.slice(0, most - 1), `${count(words.length - most + 1)} more`]
    : words;
  if (shown.length < 2) return shown.join("");
  return `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}
