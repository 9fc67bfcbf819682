// The schedule of services in the form of a new job: from its rows to what the service takes, and back.
import { parseTimes } from "./times.js";

const PLAIN_SAMPLES = 512; // of services, where a schedule says nothing else

/**
 * Return the schedule that rows say; rows one after the other that come at the same times are one rule.
 *
 * `rows`: {when: "every" | "at", times: "1 h, 1 day", does: "compensate"}.
 * An Error says which row is wrong.
 */
export function scheduleOf(rows) {
  const schedule = [];
  rows.forEach((row, index) => {
    const rule = { ...timesOf(row, rows.length > 1 ? `service ${index + 1}: ` : ""), do: [row.does] };
    const last = schedule.at(-1);
    if (last && !last.do.includes(row.does) && isSameTime(last, rule)) last.do.push(row.does);
    else schedule.push(rule);
  });
  return schedule;
}

function timesOf({ when, times }, where) {
  let seconds;
  try {
    seconds = parseTimes(times);
  } catch (error) {
    throw new Error(`${where}${error.message}`, { cause: error });
  }
  if (!seconds.length) throw new Error(`${where}say when it is done, such as ${when === "every" ? "1 month" : "1 h, 1 day"}`);
  if (when === "at") return { at: seconds };
  if (seconds.length > 1) throw new Error(`${where}one interval goes with “every”; several times go with “at”`);
  return { every: seconds[0] };
}

const isSameTime = (one, other) => JSON.stringify([one.every, one.at]) === JSON.stringify([other.every, other.at]);

/** Return the rows that say a schedule, as the service has it; null where rows cannot say it as it is. */
export function rowsOf(schedule) {
  if (schedule.some((rule) => rule.samples !== PLAIN_SAMPLES)) return null;
  const rows = schedule.flatMap((rule) => rule.do.map((does) => (
    rule.at ? { when: "at", times: rule.at.map((one) => `${one} s`).join(", "), does } : { when: "every", times: `${rule.every} s`, does }
  )));
  const isSame = (rule, index) => {
    const own = schedule[index];
    return isSameTime({ every: own.every ?? undefined, at: own.at ?? undefined }, rule) && own.do.join() === rule.do.join();
  };
  const said = scheduleOf(rows);
  return said.length === schedule.length && said.every(isSame) ? rows : null;
}
