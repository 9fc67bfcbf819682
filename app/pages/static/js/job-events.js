// Follows a job's stream of events. The browser comes again by itself; where it gives up, this does.
import { tellConnection } from "./live.js";
import { ask } from "./service.js";

const TYPES = [
  "job.queued", "job.running", "job.cancelling", "job.cancelled", "job.succeeded", "job.failed", "job.warning",
  "job.reused", "job.round", "item.started", "item.succeeded", "item.requeued", "epoch.finished", "cell.finished",
  "baseline.finished", "artifact.created", "analysis.row",
];
const ENDS = new Set(["job.cancelled", "job.succeeded", "job.failed"]);
const LEAST_GAP_MS = 900;
const AGAIN_MS = 2000;

/** Have `update` called after events, not too often, until the job has ended. */
export function watch(job, update) {
  const { api } = job.dataset;
  let last = Number(job.dataset.version); // number of the last event
  let timer = null;
  let isEnded = false;

  function schedule(delay = LEAST_GAP_MS) {
    timer ??= setTimeout(async () => {
      try {
        await update();
        tellConnection(true);
        timer = null;
      } catch {
        tellConnection(false);
        timer = null;
        schedule(AGAIN_MS);
      }
    }, delay);
  }

  function take(event) {
    tellConnection(true);
    last = Math.max(last, Number(event.lastEventId));
    isEnded ||= ENDS.has(event.type);
    schedule(isEnded ? 50 : LEAST_GAP_MS);
  }

  function listen() {
    const stream = new EventSource(`${api}/events?after=${last}`);
    for (const type of TYPES) stream.addEventListener(type, take);
    stream.addEventListener("open", () => {
      tellConnection(true);
      schedule();
    });
    stream.addEventListener("error", () => {
      if (isEnded) {
        stream.close();
        return;
      }
      if (stream.readyState === EventSource.CLOSED) setTimeout(again, AGAIN_MS);
      else setTimeout(() => { if (stream.readyState !== EventSource.OPEN && !isEnded) tellConnection(false); }, 300);
    });
  }

  /** The stream ended for good: either the job did, or the service was in the way of stopping. */
  async function again() {
    try {
      const { state } = await ask(api);
      isEnded = ["succeeded", "failed", "cancelled"].includes(state);
      schedule(50);
      if (!isEnded) listen();
    } catch (error) {
      if (error.status === 401) location.reload(); // the key is valid no more: the page asks for another one
      tellConnection(false);
      setTimeout(again, AGAIN_MS);
    }
  }

  if (!["succeeded", "failed", "cancelled"].includes(job.dataset.state)) listen();
}
