"use strict";
// What pages do in the browser beside htmx: the theme, the state of the connection, brushing a window of time.

const root = document.documentElement;

document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
  document.dispatchEvent(new Event("theme"));
});

const connection = document.getElementById("connection");
document.addEventListener("htmx:sseError", () => { connection.textContent = "the server does not answer; trying again"; });
document.addEventListener("htmx:sseOpen", () => { connection.textContent = "live"; });
document.addEventListener("htmx:sendError", () => { connection.textContent = "the server does not answer; trying again"; });
document.addEventListener("htmx:responseError", (event) => {
  connection.textContent = `not done: ${event.detail.xhr.statusText || event.detail.xhr.status}`;
});
document.addEventListener("htmx:afterOnLoad", () => {
  if (connection.textContent.startsWith("the server")) connection.textContent = "live";
});

// A part that brings itself up to date stays as it is while somebody has opened what it folds away.
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  if (part.getAttribute("hx-trigger")?.startsWith("every") && part.querySelector("details[open]")) event.preventDefault();
});

// A form in which somebody has written, and which was not sent, stays as it is.
const written = (field) => (field.type === "checkbox" || field.type === "radio"
  ? field.checked !== field.defaultChecked
  : "defaultValue" in field && field.value !== field.defaultValue);
Idiomorph.defaults.callbacks.beforeNodeMorphed = (node) => !(node instanceof HTMLFormElement && [...node.elements].some(written));

// Brushing: dragging over the lanes chooses a window, which the address then holds.
const svgPoint = (svg, event) => {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return point.x;
};
let brush = null;
document.addEventListener("pointerdown", (event) => {
  const lanes = event.target.closest(".lanes");
  // A finger moves the picture to and fro; the fields above it choose a window there.
  if (!lanes || event.target.closest("a") || event.button !== 0 || event.pointerType === "touch") return;
  const svg = lanes.querySelector("svg");
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  rect.setAttribute("class", "brush");
  rect.setAttribute("y", 0);
  rect.setAttribute("height", svg.viewBox.baseVal.height - 22);
  svg.append(rect);
  brush = { lanes, svg, rect, from: svgPoint(svg, event), to: null };
});
document.addEventListener("pointermove", (event) => {
  if (!brush) return;
  brush.to = svgPoint(brush.svg, event);
  brush.rect.setAttribute("x", Math.min(brush.from, brush.to));
  brush.rect.setAttribute("width", Math.abs(brush.to - brush.from));
});
document.addEventListener("pointerup", () => {
  if (!brush) return;
  const { lanes, svg, rect, from, to } = brush;
  brush = null;
  rect.remove();
  if (to === null || Math.abs(to - from) < 6) return;
  const left = Number(lanes.dataset.left || 0), width = svg.viewBox.baseVal.width - left;
  const begin = Date.parse(lanes.dataset.begin), span = Date.parse(lanes.dataset.end) - begin;
  const at = (x) => new Date(begin + span * Math.min(Math.max((x - left) / width, 0), 1)).toISOString().slice(0, 19);
  location.assign(`${location.pathname}?from=${at(Math.min(from, to))}&to=${at(Math.max(from, to))}`);
});

// A search: fields without a word stay out of the address, what cannot be searched is told in its place, Stop ends it.
document.addEventListener("htmx:configRequest", (event) => {
  if (!event.target.matches("[data-lean]")) return;
  const given = event.detail.parameters;
  for (const name of Object.keys(given)) if (given[name] === "") delete given[name];
});
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target.matches("[data-tells-errors]") && [400, 503].includes(event.detail.xhr.status)) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});
document.addEventListener("click", (event) => {
  const stop = event.target.closest("[data-stop]");
  if (!stop) return;
  htmx.trigger(document.getElementById(stop.dataset.stop), "htmx:abort");
  connection.textContent = "the search was stopped";
});
