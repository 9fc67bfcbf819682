// Curves of several jobs over each other: colour tells the job, dash and marker the variant.
import { axisFormat, dashOf, markerOf, TimePlot } from "./plot.js";
import { ask } from "./service.js";
import { duration } from "./times.js";
import { intervalWords, metricWords } from "./words.js";

const LIGHT = ["#0b5c8e", "#a84a00", "#00694f", "#8a3b6f", "#6b5200", "#3f51a8", "#99222a", "#4d555b"];
const DARK = ["#57b1ea", "#ff8a3d", "#4fc9a0", "#e08cc0", "#d9b44a", "#9aa9f5", "#ff8f8f", "#b6bec4"];
const { metric } = document.getElementById("comparison").dataset;
const root = document.documentElement.dataset.root;
const boxes = [...document.querySelectorAll("input[name=variant]")];
let comparison = null;

const plot = new TimePlot(document.getElementById("compare-plot"), {
  format: axisFormat(metric),
  limits: metric === "accuracy" ? [0, 1] : null,
  reading: document.getElementById("compare-reading"),
  describe: (time) => {
    const told = comparison.points.filter((point) => point.t_inference === time && isShown(point.variant))
      .flatMap((point) => comparison.jobs.map((job, index) => [index, point.variant, point.points[job.id]]))
      .filter(([, , found]) => found)
      .map(([index, variant, found]) => `${letter(index)} ${variant} ${metricWords(found.mean, metric)}${intervalWords(found.ci95_adaptive || found.ci95, metric)}`);
    return `${duration(time)}: ${told.join(", ")}`;
  },
  redraw: draw,
});

const letter = (index) => String.fromCharCode(65 + index);
const isShown = (variant) => boxes.some((box) => box.value === variant && box.checked);

function colours() {
  return getComputedStyle(document.documentElement).colorScheme === "dark" ? DARK : LIGHT;
}

function draw() {
  const variants = boxes.filter((box) => box.checked).map((box) => box.value);
  plot.draw(comparison.jobs.flatMap((job, index) => variants.map((variant) => ({
    label: `${letter(index)} ${variant}`, colour: colours()[index], dash: dashOf(variant), marker: markerOf(variant),
    points: comparison.points.filter((point) => point.variant === variant && point.points[job.id]?.mean != null)
      .map(({ t_inference: t, points: { [job.id]: found } }) => ({
        t, y: found.mean, bar: found.ci95, thin: found.ci95_adaptive, hollow: found.goal_reached === false, band: null,
      })),
  }))));
}

/** Which variants are drawn is in the address. */
function keep() {
  const address = new URL(location.href);
  address.searchParams.delete("variant");
  if (!boxes.every((box) => box.checked)) {
    for (const box of boxes) if (box.checked) address.searchParams.append("variant", box.value);
  }
  history.replaceState(null, "", address);
  draw();
}

const asked = new URLSearchParams(location.search).getAll("variant");
if (asked.length) for (const box of boxes) box.checked = asked.includes(box.value);
for (const box of boxes) box.addEventListener("change", keep);
const query = new URLSearchParams(new URLSearchParams(location.search).getAll("job").map((id) => ["job", id]));
comparison = await ask(`${root}v1/compare?${query}`);
draw();
