"use strict";
// Parts that bring themselves up to date, [data-refresh], every so many seconds, until somebody presses Pause.

let held = false, timer = null;
const clock = () => new Date().toISOString().slice(11, 19);

// Pictures stay as they are drawn, and get their new numbers from charts.js; what somebody has unfolded stays so.
const kept = Idiomorph.defaults.callbacks.beforeNodeMorphed;
Idiomorph.defaults.callbacks.beforeNodeMorphed = (node, next) => !node.classList?.contains("plot") && kept(node, next);
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node instanceof HTMLDetailsElement);

function show() {
  const button = document.getElementById("pause");
  clearInterval(timer);
  if (!button) return;
  button.hidden = false;
  button.setAttribute("aria-pressed", String(held));
  button.textContent = held ? "Go on" : "Pause";
  document.getElementById("news").textContent = held
    ? `Paused at ${clock()} UTC: what comes is not shown` : `Follows what comes, every ${button.dataset.every} s`;
  if (!held) timer = setInterval(refresh, 1000 * button.dataset.every);
}

function refresh() {
  if (document.hidden) return;
  for (const part of document.querySelectorAll("[data-refresh]")) htmx.trigger(part, "refresh");
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("#pause")) return;
  held = !held;
  show();
  if (!held) refresh();
});
// What was asked for before somebody pressed Pause is not shown either.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (held && event.detail.requestConfig?.triggeringEvent?.type === "refresh") event.detail.shouldSwap = false;
});
document.addEventListener("htmx:afterSwap", (event) => {
  const at = document.getElementById("as-of");
  if (event.detail.target.id === "page") show();
  else if (at && event.detail.target.id === "live") at.textContent = `as of ${clock()} UTC`;
});
document.addEventListener("htmx:historyRestore", show);
show();
