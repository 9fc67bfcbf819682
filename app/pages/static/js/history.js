// Loss over the epochs of fine-tuning.
/* global uPlot */
import { colourOf, css, dashOf } from "./plot.js";
import { ask } from "./service.js";

let shown = null;

/** Draw the history into an element; nothing where the page has none. */
export async function drawHistory(element, api) {
  shown?.destroy();
  shown = null;
  if (!element) return;
  const { epochs } = await ask(`${api}/history`);
  if (!element.isConnected || !epochs.length) return;
  const variants = [...new Set(epochs.map((one) => one.variant))];
  const numbers = [...new Set(epochs.map((one) => one.epoch + 1))].sort((a, b) => a - b);
  const lines = variants.flatMap((variant) => ["train_loss", "validation_loss"].map((name) => ({ variant, name })))
    .filter(({ variant, name }) => epochs.some((one) => one.variant === variant && one[name] !== null));
  const value = ({ variant, name }, number) =>
    epochs.find((one) => one.variant === variant && one.epoch + 1 === number)?.[name] ?? null;
  const font = "12px system-ui, sans-serif";
  const axis = { stroke: css("--quiet"), font, grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), size: 4 } };
  element.querySelectorAll(".uplot").forEach((one) => one.remove());
  shown = new uPlot({
    width: Math.max(240, element.clientWidth), height: element.clientHeight,
    legend: { show: false }, cursor: { show: false },
    scales: { x: { time: false, range: [Math.min(...numbers) - 0.3, Math.max(...numbers) + 0.3] }, y: { range: (_, low, high) => [Math.max(0, low - 0.1 * (high - low || low)), high + 0.1 * (high - low || high || 1)] } },
    axes: [
      { ...axis, size: 46, label: "epoch", labelFont: font, labelSize: 16, splits: () => numbers.filter((_, index) => index % Math.ceil(numbers.length / 12) === 0), values: (_, all) => all.map(String) },
      { ...axis, size: 74, label: "loss", labelFont: font, labelSize: 16, values: (_, all) => all.map((one) => Number(one.toPrecision(3)).toString()) },
    ],
    series: [{}, ...lines.map(({ variant, name }) => ({
      label: `${variant} ${name}`, stroke: colourOf(variant), width: name === "train_loss" ? 2 : 1.3,
      dash: name === "train_loss" ? dashOf(variant) : [2, 3], spanGaps: true,
      points: { show: true, size: name === "train_loss" ? 7 : 5, fill: name === "train_loss" ? colourOf(variant) : css("--paper") },
    }))],
  }, [numbers, ...lines.map((line) => numbers.map((number) => value(line, number)))], element);
}
