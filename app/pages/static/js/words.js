// Numbers as people read them; the server writes them in the same way.
/** Return a metric's value: an accuracy as a percentage, others with four digits. */
export function metricWords(value, metric) {
  if (value === null || value === undefined) return "not finite";
  return metric === "accuracy" ? `${(100 * value).toFixed(1)} %` : `${Number(value.toPrecision(4))}`;
}

/** Return an interval's bounds in brackets, nothing where there is none. */
export function intervalWords(bounds, metric) {
  if (!bounds) return "";
  const [low, high] = metric === "accuracy" ? bounds.map((one) => (100 * one).toFixed(1))
    : bounds.map((one) => Number(one.toPrecision(4)));
  return ` (${low} to ${high})`;
}

/** Return the seconds that something takes, roughly. */
export function about(seconds) {
  if (seconds < 1.5) return "about 1 s";
  if (seconds < 90) return `about ${Math.round(seconds)} s`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  return `about ${Math.round(seconds / 3600)} h`;
}

const PREFIXES = [[1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"], [1e-12, "p"], [1e-15, "f"]];

/** Return an estimate with its band, all in one unit: `148 µJ (99 to 222)`. */
export function bandWords(band, unit) {
  const [size, prefix] = PREFIXES.find(([one]) => band.nominal >= 0.9995 * one) || PREFIXES.at(-1);
  const [low, nominal, high] = [band.low, band.nominal, band.high].map((one) => Number((one / size).toPrecision(3)).toLocaleString("en"));
  return `${nominal} ${prefix}${unit} (${low} to ${high})`;
}
