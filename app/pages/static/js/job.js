// The page of a job: its figures, its threshold, what can be done with it, and keeping up with what happens.
import { watch } from "./job-events.js";
import { installActions } from "./job-actions.js";
import { refresh } from "./live.js";
import { drawHistory } from "./history.js";
import { axisFormat, colourOf, dashOf, markerOf, TimePlot } from "./plot.js";
import { ask } from "./service.js";
import { duration, serviceTimes } from "./times.js";
import { intervalWords, metricWords } from "./words.js";

const job = document.getElementById("job");
const { api, metric } = job.dataset;
const field = document.getElementById("threshold");
const isAccuracy = metric === "accuracy";
let results = null;
let lifetime = null;
let chips = [];
let moving = null; // aborts what the last threshold asked for

const curve = new TimePlot(document.getElementById("curve"), {
  format: axisFormat(metric),
  limits: isAccuracy ? [0, 1] : null,
  reading: document.getElementById("curve-reading"),
  describe: (time) => describe(time, results.series, (point) => metricWords(point.mean, metric) + intervalWords(point.ci95_adaptive || point.ci95, metric)),
  thresholdLabel: (value) => (isAccuracy ? `${(100 * value).toFixed(1)} %` : metricWords(value, metric)),
  onDrag: showThreshold,
  onRest: (value) => rest(isAccuracy ? Math.round(1000 * value) / 1000 : Number(value.toPrecision(4))),
  redraw: drawAll,
});
const share = new TimePlot(document.getElementById("yield"), {
  format: (value) => `${Math.round(100 * value)} %`,
  bandShade: 0.06,
});

function describe(time, series, say) {
  const told = series.map((one) => [one.variant, one.points.find((point) => point.t_inference === time)])
    .filter(([, point]) => point).map(([variant, point]) => `${variant} ${say(point)}`);
  return `${duration(time)}: ${told.join(", ")}`;
}

function drawCurve() {
  if (!results) return; // somebody is faster than the first answer, which draws all of it
  const lines = results.series.map((one) => ({
    label: one.variant, colour: colourOf(one.variant), dash: dashOf(one.variant), marker: markerOf(one.variant),
    points: one.points.filter((point) => point.mean !== null).map((point) => ({
      t: point.t_inference, y: point.mean, bar: point.ci95 && capped(point.ci95),
      thin: point.ci95_adaptive && capped(point.ci95_adaptive), hollow: point.goal_reached === false,
      band: point.p05 === null ? null : [point.p05, point.p95],
    })),
  }));
  const digital = results.baseline.digital?.[metric];
  curve.draw(lines, {
    rule: digital === undefined || digital === null ? null : { value: digital },
    chips: document.getElementById("chips").checked ? chips.map((chip) => ({ ...chip, colour: colourOf(chip.variant) })) : [],
    services: serviceTimes(results.maintenance, Math.max(...lines.flatMap((line) => line.points.map((point) => point.t)))),
    threshold: threshold(),
  });
}

/** An interval of Student's t may reach beyond what an accuracy can be. */
const capped = (bounds) => (isAccuracy ? bounds.map((one) => Math.min(1, Math.max(0, one))) : bounds);

function drawShare() {
  const lines = (lifetime?.series || []).flatMap((one) => {
    const line = { label: one.variant, colour: colourOf(one.variant), dash: dashOf(one.variant), marker: null };
    const points = one.yield.map((point) => ({ t: point.t_inference, y: point.share, band: point.ci95_adaptive || point.ci95 }));
    const good = (one.in_service?.availability || []).map((point) => ({ t: point.t_inference, y: point.share }));
    return [{ ...line, points }, { ...line, width: 1, points: good }];
  });
  share.draw(lines, { range: [-0.02, 1.02] });
}

function drawAll() {
  drawCurve();
  drawShare();
  drawHistory(document.getElementById("history"), api);
}

/** The threshold in the metric's unit: what the field says, else what the server took; null if there is none. */
function threshold() {
  if (field.value === "" || !field.checkValidity()) return null;
  return isAccuracy ? Number(field.value) / 100 : Number(field.value);
}

function showThreshold(value) {
  field.value = isAccuracy ? (100 * value).toFixed(1) : Number(value.toPrecision(4));
}

function lifetimeUrl() {
  const value = threshold();
  if (value === null) return `${api}/lifetime`;
  return `${api}/lifetime?${isAccuracy ? "accuracy" : "threshold"}=${Number(value.toPrecision(6))}`;
}

async function readLifetime(signal) {
  const isMeasurable = threshold() !== null || Number.isFinite(results?.baseline.digital?.[metric]);
  lifetime = isMeasurable ? await ask(lifetimeUrl(), { signal }) : null; // the panel says what is missing
  drawShare();
}

/** The threshold has come to rest: ask for what follows from it, and no longer for what followed from the last. */
async function rest(value) {
  showThreshold(value);
  curve.moveThreshold(value);
  const address = new URL(location.href);
  for (const name of ["accuracy", "drop", "threshold"]) address.searchParams.delete(name);
  address.searchParams.set(isAccuracy ? "accuracy" : "threshold", value);
  history.replaceState(null, "", address);
  moving?.abort();
  moving = new AbortController();
  const { signal } = moving;
  try {
    await Promise.all([readLifetime(signal), refresh(signal)]);
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

async function readChips() {
  const found = await ask(`${api}/results?cells=true`);
  const byChip = new Map();
  for (const cell of found.cells) {
    const y = chipMetric(cell);
    if (y === null) continue;
    const name = `${cell.variant} ${cell.repeat}`;
    if (!byChip.has(name)) byChip.set(name, { variant: cell.variant, points: [] });
    byChip.get(name).points.push([cell.t_inference, y]);
  }
  chips = [...byChip.values()];
  for (const chip of chips) chip.points.sort(([a], [b]) => a - b);
}

function chipMetric(cell) {
  if (isAccuracy) return cell.correct / cell.total;
  const mean = cell.loss_sum / cell.total;
  const value = metric === "perplexity" ? Math.exp(mean) : mean;
  return cell.loss_sum !== null && Number.isFinite(value) ? value : null;
}

async function readResults() {
  results = await ask(`${api}/results`);
  if (document.getElementById("chips").checked) await readChips();
  drawCurve();
  await readLifetime();
}

/** Everything that may have changed: numbers, figures, and what the server words. */
async function update() {
  const [changed] = await Promise.all([refresh(), readResults()]);
  if (changed.includes("life") && field !== document.activeElement && field.value === "") {
    const value = document.getElementById("life").dataset.threshold;
    if (value) showThreshold(Number(value));
  }
  if (changed.includes("training")) drawHistory(document.getElementById("history"), api);
}

/** Follow a link that only changes what a part of this page shows, without leaving the page. */
job.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-swap]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const address = new URL(location.href);
  const wanted = new URL(link.href).searchParams;
  for (const name of ["layer", "hardware"]) {
    if (wanted.has(name)) address.searchParams.set(name, wanted.get(name));
  }
  history.replaceState(null, "", address);
  refresh();
});
document.getElementById("chips").addEventListener("change", async (event) => {
  const address = new URL(location.href);
  if (event.target.checked) address.searchParams.set("chips", "true");
  else address.searchParams.delete("chips");
  history.replaceState(null, "", address);
  if (event.target.checked) await readChips();
  drawCurve();
});
document.getElementById("threshold-form").addEventListener("submit", (event) => event.preventDefault());
let typing = 0;
field.addEventListener("input", () => {
  clearTimeout(typing);
  const value = threshold();
  if (value === null) return;
  if (curve.threshold === null) drawCurve();
  curve.moveThreshold(value);
  typing = setTimeout(() => rest(value), 350);
});
addEventListener("driftline:theme", drawAll);
document.getElementById("chips").checked = new URLSearchParams(location.search).has("chips");
installActions(job);
await readResults();
drawHistory(document.getElementById("history"), api);
watch(job, update);
