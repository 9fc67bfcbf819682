// Times after programming as people write them.
const UNITS = [
  [31536000, "year", "years"], [2592000, "month", "months"], [604800, "week", "weeks"], [86400, "day", "days"],
  [3600, "h", "h"], [60, "min", "min"], [1, "s", "s"],
];
const NAMES = new Map([
  ["s", 1], ["sec", 1], ["second", 1], ["seconds", 1], ["min", 60], ["minute", 60], ["minutes", 60], ["h", 3600],
  ["hour", 3600], ["hours", 3600], ["d", 86400], ["day", 86400], ["days", 86400], ["week", 604800],
  ["weeks", 604800], ["month", 2592000], ["months", 2592000], ["y", 31536000], ["year", 31536000],
  ["years", 31536000],
]);

export const TICKS = [
  [1, "1 s"], [60, "1 min"], [3600, "1 h"], [86400, "1 day"], [604800, "1 week"], [2592000, "1 month"],
  [31536000, "1 year"], [315360000, "10 years"],
];

/** Return a time in the largest unit that it fills, to two digits: "1.5 days". */
export function duration(seconds) {
  const named = TICKS.find(([size]) => size === seconds);
  if (named) return named[1];
  for (const [size, one, many] of UNITS) {
    if (one !== "week" && seconds >= size) {
      const number = Number((seconds / size).toPrecision(2));
      return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
    }
  }
  return `${Number(seconds.toPrecision(3))} s`;
}

/** Return how long ago a moment is, in words. */
export function ago(moment, now = Date.now()) {
  const seconds = Math.max(0, (now - moment) / 1000);
  if (seconds < 45) return "just now";
  for (const [size, one, many] of UNITS.slice(0, -1)) {
    if (seconds >= size * 0.75) {
      const number = Math.max(1, Math.round(seconds / size));
      return `${number} ${number === 1 ? one : many} ago`;
    }
  }
  return "just now";
}

const MOST_SERVICES = 40; // of one rule; of more some are chosen, evenly over the axis

/** Return when services of a schedule are done, up to a time. */
export function serviceTimes(schedule, last) {
  return (schedule || []).flatMap((rule) => {
    if (rule.at) return rule.at.filter((time) => time <= last);
    const count = Math.floor(last / rule.every);
    const numbers = count <= MOST_SERVICES
      ? Array.from({ length: count }, (_, index) => index + 1)
      : [...new Set(Array.from({ length: MOST_SERVICES }, (_, index) => Math.round(count ** (index / (MOST_SERVICES - 1)))))];
    return numbers.map((number) => number * rule.every);
  });
}

/** Return the seconds of "1 week, 36 h"; an Error names the part that is no time. */
export function parseTimes(text) {
  return text.split(",").map((part) => part.trim()).filter(Boolean).map((part) => {
    const found = /^([0-9.]+(?:e[0-9]+)?)\s*([a-z]*)$/i.exec(part);
    const size = found && (found[2] ? NAMES.get(found[2].toLowerCase()) : 1);
    const seconds = found && size ? Number(found[1]) * size : NaN;
    if (!Number.isFinite(seconds)) throw new Error(`“${part}” is no time; write one such as 36 h or 2 weeks`);
    return seconds;
  });
}
