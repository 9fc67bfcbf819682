// "Try it out" on the API's reference: GET requests alone, to this service, as who is signed in.
const MOST_CHARACTERS = 20_000;
const PATIENCE_MS = 30_000;

/** Return why an address is not asked for; empty if it can be. */
function refusal(path) {
  const open = path.match(/\{[^}]*\}/);
  if (open) return `Put a value in the place of ${open[0]}.`;
  return /^\/[^/\\]/.test(path) ? "" : "The address is a path of this service, such as /v1/jobs?limit=5.";
}

/** Return what a page shows of an answer: JSON indented, other text as it is, and of files the size. */
async function shown(answer) {
  const type = answer.headers.get("content-type") || "";
  if (!/json|text|xml|csv/.test(type)) return `${(await answer.blob()).size.toLocaleString("en")} bytes of ${type}`;
  const text = await answer.text();
  let said = text;
  if (type.includes("json")) {
    try { said = JSON.stringify(JSON.parse(text), null, 2); } catch { /* it is shown as it came */ }
  }
  return said.length <= MOST_CHARACTERS ? said : `${said.slice(0, MOST_CHARACTERS)}\n… ${said.length.toLocaleString("en")} characters in all`;
}

async function send(form) {
  const path = form.querySelector("input").value.trim();
  const [status, box, button] = [form.querySelector("[role=status]"), form.querySelector("pre"), form.querySelector("button")];
  const why = refusal(path);
  box.hidden = true;
  status.textContent = why;
  if (why) return;
  button.disabled = true;
  status.textContent = "Waiting for the answer.";
  try {
    const answer = await fetch(form.dataset.root + path.slice(1), {
      headers: { Accept: "application/json, */*;q=0.5" }, signal: AbortSignal.timeout(PATIENCE_MS),
    });
    box.firstElementChild.textContent = await shown(answer);
    status.textContent = `${answer.status} ${answer.statusText}`.trim();
    box.hidden = false;
  } catch (error) {
    status.textContent = error.name === "TimeoutError" ? "There was no answer within 30 s." : `The request failed: ${error.message}`;
  } finally { button.disabled = false; }
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form.try");
  if (!form) return;
  event.preventDefault();
  send(form);
});
