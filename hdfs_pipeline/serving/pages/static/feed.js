"use strict";
// The feed: each anomaly that comes becomes the first row of the table, unless somebody has pressed Pause.

const rows = document.getElementById("feed"), blank = document.getElementById("anomaly").content.querySelector("tr");
const pause = document.getElementById("pause"), news = document.getElementById("news");
const most = Number(rows.dataset.most), SAY_MS = 3000;
let held = [], left = 0, came = 0, saying = null;

const paused = () => pause.getAttribute("aria-pressed") === "true";
const many = (count, word = "") => `${count.toLocaleString("en")} ${word}${count === 1 ? "anomaly" : "anomalies"}`;

const show = (anomaly) => {
  const row = blank.cloneNode(true), part = (name) => row.querySelector(`[data-is=${name}]`);
  const key = `${anomaly.domain} ${anomaly.item} ${anomaly.detector}`;
  row.dataset.key = key;
  for (const name of ["item", "domain", "detector"]) part(name).textContent = anomaly[name];
  for (const name of ["kind", "entity"]) part(name).textContent = anomaly[name] || "–";
  part("item").href = `/items/${anomaly.domain}/${encodeURIComponent(anomaly.item)}`;
  part("score").textContent = Number(anomaly.score.toPrecision(4));
  const status = part("status").querySelector(".status");
  status.textContent = anomaly.status;
  status.classList.add(anomaly.status);
  part("time").dateTime = anomaly.scored_at;
  part("time").textContent = anomaly.scored_at.slice(5, 19).replace("T", " ");
  row.classList.add("new");
  const old = [...rows.children].find((each) => each.dataset.key === key);
  if (old) old.remove();
  rows.prepend(row);
  while (rows.children.length > most) rows.lastElementChild.remove();
  document.getElementById("table").hidden = false;
  document.getElementById("nothing").hidden = true;
};

// What a screen reader says: a sentence every few seconds at most, and not each row.
const say = () => {
  saying = null;
  const further = left ? `; ${many(left)} more came too fast to be shown` : "";
  if (paused()) news.textContent = `Paused: ${many(came)} waiting${further}`;
  else {
    news.textContent = came ? `${many(came, "new ")}, the latest: ${rows.querySelector("[data-is=item]").textContent}${further}` : "";
    came = left = 0;
  }
};
const soon = () => { saying = saying || setTimeout(say, paused() ? 0 : SAY_MS); };

const connect = () => {
  const connection = document.getElementById("connection");
  const source = new EventSource(`/api/live?events=anomaly&after=${encodeURIComponent(rows.dataset.at)}`);
  source.addEventListener("open", () => { connection.textContent = "live"; });
  source.addEventListener("error", () => {
    connection.textContent = "the server does not answer; trying again";
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
  });
  source.addEventListener("anomaly", (event) => {
    const anomaly = JSON.parse(event.data);
    came += 1;
    if (paused()) held = [...held, anomaly].slice(-most);
    else show(anomaly);
    soon();
  });
  source.addEventListener("skipped", (event) => { left += JSON.parse(event.data).anomalies; soon(); });
};

pause.hidden = false;
pause.addEventListener("click", () => {
  const stop = !paused();
  pause.setAttribute("aria-pressed", String(stop));
  pause.textContent = stop ? "Go on" : "Pause";
  came = stop ? 0 : held.length;
  if (!stop) held.forEach(show);
  held = [];
  clearTimeout(saying);
  say();
});
connect();
