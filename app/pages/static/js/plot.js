// Curves over log time, drawn by uPlot. Positions are logarithms already, so that t = 0 has a place of its own.
/* global uPlot */
import { duration, TICKS } from "./times.js";

const LEAST_TICK_GAP = 56; // CSS pixels between the labels of two ticks
const MARKERS = { direct: "circle", hwa: "square", control: "triangle" };
const DASHES = { direct: [], hwa: [9, 3], control: [3, 3], digital: [6, 4] };

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const colourOf = (variant) => css(`--${variant}`);
export const dashOf = (variant) => DASHES[variant] || [];
export const markerOf = (variant) => MARKERS[variant] || "circle";

/** Where times lie on the axis: their logarithm; t = 0 a little before the first of them. */
export function axisOf(times) {
  const positive = times.filter((one) => one > 0);
  const first = Math.log10(Math.min(...positive));
  const span = positive.length ? Math.log10(Math.max(...positive)) - first : 0;
  const zero = positive.length ? first - Math.max(0.5, 0.09 * span) : 0;
  const hasZero = times.includes(0);
  return {
    zero, hasZero, first: positive.length ? first : zero,
    place: (seconds) => (seconds > 0 ? Math.log10(seconds) : zero),
    seconds: (place) => (hasZero && place <= zero + 1e-9 ? 0 : 10 ** place),
  };
}

/**
 * Draw lines over time.
 *
 * `lines`: {label, colour, dash, width, marker, points: [{t, y, bar, thin, band, hollow}]}; `bar`, `thin` and
 * `band` are [low, high] or nothing.
 * Services are times, marked on the axis.
 * `options`: {format, range: [low, high] | null, rule: {value, label} | null, chips: [{colour, points: [[t, y]]}],
 * reading, describe(t) -> text, height, threshold, onDrag(value), onRest(value)}.
 */
export class TimePlot {
  constructor(element, options) {
    this.element = element;
    this.options = options;
    this.lines = [];
    this.chips = [];
    this.defaultReading = options.reading?.textContent;
    new ResizeObserver(() => this.resize()).observe(element);
    addEventListener("driftline:theme", () => this.options.redraw?.());
    addEventListener("beforeprint", () => this.resize());
  }

  draw(lines, { rule = null, chips = [], services = [], threshold = null, range = null } = {}) {
    this.lines = lines.filter((line) => line.points.length);
    Object.assign(this, { rule, chips, services, threshold, wantedRange: range });
    const times = [...new Set(this.lines.flatMap((line) => line.points.map((point) => point.t)))].sort((a, b) => a - b);
    this.times = times;
    this.uplot?.destroy();
    this.uplot = null;
    this.element.classList.toggle("is-empty", !times.length);
    if (!times.length) return;
    this.axis = axisOf(times);
    this.uplot = new uPlot(this.settings(), this.data(times), this.element);
    if (threshold !== null && this.options.onRest) this.addHandle();
  }

  data(times) {
    const columns = [times.map(this.axis.place)];
    for (const line of this.lines) {
      const found = new Map(line.points.map((point) => [point.t, point]));
      const column = (read) => times.map((time) => (found.has(time) ? read(found.get(time)) ?? null : null));
      columns.push(column((point) => point.y));
      columns.push(column((point) => point.band?.[1]), column((point) => point.band?.[0]));
    }
    return columns;
  }

  settings() {
    const ink = css("--ink"), quiet = css("--quiet"), grid = css("--line");
    const font = "12px system-ui, sans-serif";
    const series = [{}];
    const bands = [];
    this.lines.forEach((line, index) => {
      series.push({ label: line.label, stroke: line.colour, width: line.width ?? 2, dash: line.dash, spanGaps: true, points: { show: false } });
      const edge = { stroke: "transparent", width: 0, spanGaps: true, points: { show: false } };
      series.push({ ...edge }, { ...edge });
      bands.push({ series: [3 * index + 2, 3 * index + 3], fill: transparent(line.colour, this.options.bandShade ?? 0.13) });
    });
    return {
      ...this.size(),
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
      scales: {
        x: { time: false, range: () => this.rangeX() },
        y: { range: () => this.rangeY() },
      },
      axes: [
        {
          stroke: quiet, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, size: 4 }, size: 34, gap: 4,
          splits: (plot) => this.ticks(plot), values: (_, places) => places.map((place) => this.tickLabel(place)),
        },
        {
          stroke: quiet, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, size: 4 }, size: 58, gap: 4,
          values: (_, values) => values.map((value) => this.options.format(value, values)),
        },
      ],
      series, bands,
      hooks: {
        drawAxes: [(plot) => this.drawUnder(plot, ink)],
        draw: [(plot) => this.drawOver(plot)],
        setCursor: [(plot) => this.read(plot)],
        setSize: [() => this.placeHandle()],
      },
    };
  }

  size() {
    return { width: Math.max(240, this.element.clientWidth), height: Math.max(140, this.element.clientHeight) };
  }

  resize() {
    if (!this.uplot) return;
    const { width, height } = this.size();
    if (width !== this.uplot.width || height !== this.uplot.height) this.uplot.setSize({ width, height });
  }

  rangeX() {
    const places = this.times.map(this.axis.place);
    const low = Math.min(...places), high = Math.max(...places);
    const pad = Math.max(0.35, 0.045 * (high - low));
    return [low - pad, high + pad];
  }

  rangeY() {
    if (this.wantedRange) return this.wantedRange;
    const values = this.lines.flatMap((line) => line.points.flatMap((point) => [point.y, ...(point.bar || []), ...(point.thin || []), ...(point.band || [])]));
    if (this.rule) values.push(this.rule.value);
    for (const chip of this.chips) values.push(...chip.points.map(([, y]) => y));
    const known = values.filter((value) => Number.isFinite(value));
    let low = Math.min(...known), high = Math.max(...known);
    if (this.threshold !== null && Number.isFinite(this.threshold)) {
      low = Math.min(low, Math.max(this.threshold, low - (high - low)));
      high = Math.max(high, Math.min(this.threshold, high + (high - low)));
    }
    const pad = 0.08 * (high - low) || 0.02 * Math.abs(high) || 1;
    const [least, most] = this.options.limits || [-Infinity, Infinity];
    return [Math.max(least, low - pad), Math.min(most + 0.004 * (most - least || 0) || Infinity, high + pad)];
  }

  ticks(plot) {
    const [low, high] = this.rangeX();
    const width = plot.width - 58;
    const found = this.axis.hasZero ? [this.axis.zero] : [];
    for (const [seconds] of TICKS) {
      const place = Math.log10(seconds);
      const last = found.at(-1);
      if (place < Math.max(low, this.axis.first - 0.36) || place > high) continue;
      if (last === undefined || ((place - last) / (high - low)) * width >= LEAST_TICK_GAP) found.push(place);
    }
    return found.length ? found : [this.axis.place(this.times[0])];
  }

  tickLabel(place) {
    if (this.axis.hasZero && Math.abs(place - this.axis.zero) < 1e-9) return "0 s";
    return duration(Number((10 ** place).toPrecision(9)));
  }

  drawUnder(plot, ink) {
    const { ctx } = plot;
    ctx.save();
    const { left, top, width, height } = plot.bbox;
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    if (this.axis.hasZero && this.times.length > 1) { // the axis is broken between t = 0 and the first time
      const x = plot.valToPos((this.axis.zero + this.axis.first) / 2, "x", true);
      stroke(ctx, css("--quiet"), 1, [2, 4], [[x, top], [x, top + height]]);
    }
    for (const chip of this.chips) {
      const path = chip.points.map(([t, y]) => [plot.valToPos(this.axis.place(t), "x", true), plot.valToPos(y, "y", true)]);
      stroke(ctx, transparent(chip.colour, 0.28), 1, [], path);
    }
    if (this.rule) {
      const y = plot.valToPos(this.rule.value, "y", true);
      stroke(ctx, colourOf("digital") || ink, 1.6, DASHES.digital, [[left, y], [left + width, y]]);
    }
    ctx.restore();
  }

  drawOver(plot) {
    const { ctx } = plot;
    const scale = devicePixelRatio || 1;
    ctx.save();
    const { left, top, height } = plot.bbox;
    for (const time of this.services) {
      const x = plot.valToPos(this.axis.place(time), "x", true);
      if (x >= left) mark(ctx, "triangle", css("--quiet"), x, top + height - 4 * scale, 3 * scale);
    }
    for (const line of this.lines) {
      for (const point of line.points) {
        if (!Number.isFinite(point.y)) continue;
        const x = plot.valToPos(this.axis.place(point.t), "x", true), y = plot.valToPos(point.y, "y", true);
        if (point.bar) {
          const [low, high] = point.bar.map((value) => plot.valToPos(value, "y", true));
          const cap = 3 * scale;
          for (const path of [[[x, low], [x, high]], [[x - cap, low], [x + cap, low]], [[x - cap, high], [x + cap, high]]]) {
            stroke(ctx, line.colour, 1.3 * scale, [], path);
          }
        }
        if (point.thin) {
          const path = point.thin.map((value) => [x, plot.valToPos(value, "y", true)]);
          stroke(ctx, line.colour, scale, [2 * scale, 2 * scale], path);
        }
        if (line.marker) mark(ctx, line.marker, line.colour, x, y, 3.6 * scale);
        if (line.marker && point.hollow) mark(ctx, line.marker, css("--paper"), x, y, 2 * scale);
      }
    }
    ctx.restore();
    this.placeHandle();
  }

  read(plot) {
    const { reading, describe } = this.options;
    if (!reading) return;
    const index = plot.cursor.idx;
    const isOver = plot.cursor.left >= 0 && index !== null && index !== undefined;
    reading.textContent = isOver ? describe(this.times[index]) : this.defaultReading;
  }

  addHandle() {
    const handle = document.createElement("div");
    handle.className = "handle";
    handle.ariaHidden = "true"; // the number's field does the same
    handle.append(document.createElement("span"));
    this.uplot.over.append(handle);
    this.handle = handle;
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      handle.setPointerCapture(event.pointerId);
      this.isDragged = true;
    });
    handle.addEventListener("pointermove", (event) => {
      if (!this.isDragged) return;
      const top = event.clientY - this.uplot.over.getBoundingClientRect().top;
      const inside = Math.min(Math.max(top, 0), this.uplot.over.clientHeight);
      this.threshold = this.uplot.posToVal(inside, "y");
      this.placeHandle();
      this.options.onDrag(this.threshold);
    });
    const rest = () => {
      if (!this.isDragged) return;
      this.isDragged = false;
      this.options.onRest(this.threshold);
    };
    handle.addEventListener("pointerup", rest);
    handle.addEventListener("pointercancel", rest);
    this.placeHandle();
  }

  moveThreshold(value) {
    this.threshold = value;
    this.placeHandle();
  }

  placeHandle() {
    if (!this.handle || !this.uplot) return;
    const top = this.uplot.valToPos(this.threshold, "y");
    const isInside = top >= 0 && top <= this.uplot.over.clientHeight;
    this.handle.hidden = !isInside;
    this.handle.style.top = `${top}px`;
    this.handle.firstChild.textContent = this.options.thresholdLabel(this.threshold);
  }
}

function stroke(ctx, colour, width, dash, path) {
  ctx.beginPath();
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.setLineDash(dash);
  path.forEach(([x, y], index) => (index ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.stroke();
  ctx.setLineDash([]);
}

function mark(ctx, shape, colour, x, y, size) {
  ctx.fillStyle = colour;
  ctx.beginPath();
  if (shape === "square") ctx.rect(x - size, y - size, 2 * size, 2 * size);
  else if (shape === "triangle") {
    ctx.moveTo(x, y - 1.3 * size);
    ctx.lineTo(x + 1.2 * size, y + size);
    ctx.lineTo(x - 1.2 * size, y + size);
  } else ctx.arc(x, y, size, 0, 2 * Math.PI);
  ctx.fill();
}

function transparent(colour, share) {
  const found = /^#(..)(..)(..)$/.exec(colour);
  return found ? `rgb(${found.slice(1).map((part) => Number.parseInt(part, 16)).join(" ")} / ${100 * share}%)` : colour;
}

/** Return how the values of an axis are written, with as many digits as their steps need. */
export function axisFormat(metric) {
  return (value, values) => {
    const step = values.length > 1 ? Math.abs(values[1] - values[0]) : 1;
    if (metric !== "accuracy") return Number(value.toPrecision(6)).toString();
    const digits = Math.min(3, Math.max(0, Math.ceil(-Math.log10(100 * step) - 1e-9)));
    return `${(100 * value).toFixed(digits)} %`;
  };
}
