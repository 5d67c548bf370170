"use strict";
// Long series: each [data-chart] becomes a picture by uPlot. What it draws stands in a block of JSON beside it.

const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const pictures = new Map(); // element → { plot, data }
const dashes = { expected: "dashed", s1: "dashed", s2: "dotted", s3: "dashed", s4: "dashed", s5: "dotted" };
const fills = { critical: "--critical-bar", major: "--major-bar", warning: "--warning-bar" };

function drawSpans(plot, spans) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const span of spans) {
    const left = plot.valToPos(span.from, "x", true);
    const width = Math.max(plot.valToPos(span.to, "x", true) - left, 2);
    ctx.globalAlpha = span.kind === "chosen" ? 0.14 : 0.3;
    ctx.fillStyle = colour(fills[span.kind] || "--focus");
    ctx.fillRect(left, bbox.top, width, bbox.height);
    if (span.kind === "chosen") {
      ctx.globalAlpha = 1;
      ctx.strokeStyle = colour("--focus");
      ctx.lineWidth = 2;
      ctx.strokeRect(left, bbox.top + 1, width, bbox.height - 2);
    }
  }
  ctx.restore();
}

function drawThreshold(plot, data) {
  const { ctx, bbox } = plot;
  const y = plot.valToPos(data.threshold, "y", true);
  ctx.save();
  ctx.strokeStyle = colour("--critical");
  ctx.lineWidth = 2;
  ctx.setLineDash([8, 5]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

const over = (data) => data.lines[0].values.map((value) => (value !== null && value >= data.threshold ? value : null));

function shown(value) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

function serieses(data) {
  const looks = {
    actual: { stroke: () => colour("--link"), width: 1.5 },
    low: { stroke: () => colour("--link"), width: 1 },
    expected: { stroke: () => colour("--major"), width: 1.5, dash: [6, 4] },
    s0: { stroke: () => colour("--ink"), width: 1.5 },
    s1: { stroke: () => colour("--link"), width: 1.5, dash: [10, 4] },
    s2: { stroke: () => colour("--major"), width: 1.5, dash: [3, 4] },
    s3: { stroke: () => colour("--good"), width: 1.5, dash: [12, 4, 3, 4] },
    s4: { stroke: () => colour("--critical"), width: 1.5, dash: [5, 3] },
    s5: { stroke: () => colour("--soft"), width: 1.5, dash: [1, 3] },
    over: { stroke: () => colour("--critical"), width: 0, points: { show: true, size: 6, fill: () => colour("--critical") } },
  };
  const found = data.lines.map((line) => ({
    label: line.label, kind: line.kind, spanGaps: false, points: { show: data.x.length < 3 }, value: (_, value) => shown(value), ...looks[line.kind],
  }));
  if (data.threshold !== undefined) {
    found.push({ label: "over the threshold", paths: () => null, value: (_, value) => shown(value), ...looks.over });
  }
  const time = (_, value) => (value === null || value === undefined ? "–" : new Date(value * 1000).toISOString().slice(0, 19));
  return [data.numbers ? { label: "epoch" } : { label: "UTC", value: time }, ...found];
}

// Times of an axis: the date where it changes, and no more of the time than the steps between need.
function moments(_, ticks, _axis, _space, step) {
  let day = "";
  return ticks.map((tick) => {
    const [date, time] = new Date(tick * 1000).toISOString().slice(0, 19).split("T");
    const text = step >= 86400 ? date : time.slice(0, step >= 60 ? 5 : 8) + (date === day ? "" : `\n${date}`);
    day = date;
    return text;
  });
}

function options(data, width) {
  const axis = { stroke: () => colour("--soft"), grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { stroke: () => colour("--grid"), width: 1 } };
  const low = data.lines.findIndex((line) => line.kind === "low");
  return {
    width, height: data.height, series: serieses(data),
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
    scales: { x: { time: !data.numbers }, y: data.log ? { distr: 4, asinh: 1, ...(data.least === undefined ? {} : { range: (_, __, most) => [data.least, most > 1 ? most * 1.5 : 1] }) } : { range: (_, least, most) => (least === null ? [0, 1] : [Math.min(0, least), most > 0 ? most * 1.05 : 1]) } },
    axes: [{ ...axis, space: 80, ...(data.numbers ? {} : { values: moments }) }, { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : shown(tick))) }],
    bands: low < 0 ? [] : [{ series: [low, low + 1], fill: () => `color-mix(in srgb, ${colour("--link")} 35%, transparent)` }],
    cursor: {
      drag: { x: Boolean(data.brush), y: false, setScale: false },
      ...(data.sync ? { sync: { key: data.sync, setSeries: false } } : {}),
    },
    legend: { markers: { dash: (plot, at) => dashes[plot.series[at].kind] || "solid" } },
    select: { show: Boolean(data.brush), left: 0, top: 0, width: 0, height: 0 },
    hooks: {
      drawClear: [(plot) => drawSpans(plot, data.spans || [])],
      draw: [(plot) => { if (data.threshold !== undefined) drawThreshold(plot, data); }],
      setSelect: [(plot) => { if (data.brush && plot.select.width > 4) choose(plot, data.brush); }],
    },
  };
}

// Brushing fills the fields of a form, and sends it: the address holds the window then.
function choose(plot, form) {
  const { left, width } = plot.select;
  const at = (x) => new Date(plot.posToVal(x, "x") * 1000).toISOString().slice(0, 19);
  const fields = document.getElementById(form);
  fields.elements.from.value = at(left);
  fields.elements.to.value = at(left + width);
  fields.requestSubmit();
}

function draw(element) {
  const text = document.getElementById(element.dataset.chart).textContent;
  const data = JSON.parse(text);
  const columns = [data.x, ...data.lines.map((line) => line.values)];
  if (data.threshold !== undefined) columns.push(over(data));
  const plot = new uPlot(options(data, element.clientWidth), columns, element);
  pictures.set(element, { plot, data, text });
  sizes.observe(element);
}

// Give a picture that is drawn already the numbers that its block of JSON holds now.
function refill(element, picture) {
  const text = document.getElementById(element.dataset.chart).textContent;
  if (text === picture.text) return;
  const labels = (lines) => lines.map((line) => line.label).join("\n");
  const fresh = JSON.parse(text);
  if (fresh.threshold !== undefined || labels(fresh.lines) !== labels(picture.data.lines)) {
    picture.plot.destroy();
    draw(element);
    return;
  }
  Object.assign(picture.data, fresh);
  picture.text = text;
  picture.plot.setData([fresh.x, ...fresh.lines.map((line) => line.values)]);
}

const sizes = new ResizeObserver((changes) => {
  for (const { target } of changes) {
    const picture = pictures.get(target);
    if (picture && target.clientWidth && target.clientWidth !== picture.plot.width) {
      picture.plot.setSize({ width: target.clientWidth, height: picture.data.height });
    }
  }
});

// How many steps reach a threshold, and how many stretches of them last long enough: as the server counts them.
function counted(data) {
  const { step, least, gap } = data.runs;
  let steps = 0, runs = 0, length = 0, before = -Infinity;
  data.lines[0].values.forEach((value, at) => {
    if (value === null || value < data.threshold) return;
    steps += 1;
    const enough = length * step >= least - 0.25 * step;
    if (data.x[at] - before > step + gap) {
      runs += length && enough ? 1 : 0;
      length = 0;
    }
    length += 1;
    before = data.x[at];
  });
  return { steps, runs: runs + (length && length * step >= least - 0.25 * step ? 1 : 0) };
}

const picture = () => pictures.get(document.getElementById("errors"));
document.addEventListener("input", (event) => {
  if (event.target.id !== "slider") return;
  const { plot, data } = picture();
  data.threshold = Number(Number(event.target.value).toPrecision(4));
  document.getElementById("threshold").value = data.threshold;
  plot.setData([data.x, data.lines[0].values, over(data)]);
  const { steps, runs } = counted(data);
  const number = (count) => count.toLocaleString("en");
  document.getElementById("count").textContent =
    `${number(steps)} of ${number(data.x.length)} steps reach ${data.threshold}, in ${number(runs)} stretches that last long enough`;
});
document.addEventListener("change", (event) => {
  if (event.target.id === "slider") event.target.form.requestSubmit();
});

function drawAll() {
  for (const [element, { plot }] of pictures) {
    if (element.isConnected) continue;
    sizes.unobserve(element);
    plot.destroy();
    pictures.delete(element);
  }
  for (const element of document.querySelectorAll("[data-chart]")) {
    if (pictures.has(element)) refill(element, pictures.get(element));
    else draw(element);
  }
}

// What is wrong with the fields of a form is said beside its button.
document.addEventListener("htmx:responseError", (event) => {
  const said = event.target.closest("form")?.querySelector(".waiting");
  if (!said) return;
  try {
    said.textContent = JSON.parse(event.detail.xhr.responseText).detail;
  } catch {
    said.textContent = "the server failed";
  }
  said.className = "waiting shown wrong";
});

const redraw = () => pictures.forEach(({ plot }) => plot.redraw(false));
document.addEventListener("theme", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("htmx:afterSwap", drawAll);
document.addEventListener("htmx:historyRestore", drawAll);
drawAll();
