// Requests to the service: an answer, or an error that carries every fault.
export class Refused extends Error {
  constructor(problem, status) {
    super(problem.detail || `the service answered ${status}`);
    this.faults = problem.errors || [];
    this.status = status;
  }
}

/** Send a request and return the JSON of its answer, null if it has none. */
export async function ask(url, { method = "GET", body, signal, headers = {} } = {}) {
  const options = { method, signal, headers: { Accept: "application/json", ...headers } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(url, options);
  const text = await answer.text();
  let content = null;
  try { content = text ? JSON.parse(text) : null; } catch { content = { detail: text.slice(0, 200) }; }
  if (!answer.ok) throw new Refused(content || {}, answer.status);
  return content;
}

/** Return the sentences of an error: what is wrong, and every fault with its hint. */
export function sentences(error) {
  const faults = (error.faults || []).map((one) => one.message + (one.hint ? ` – ${one.hint}` : ""));
  return [...new Set(faults.length ? faults : [error.message])];
}
