// Keeps what the server has rendered up to date: the page is fetched again, and its live parts are exchanged.
import { enhance } from "./enhance.js";

const served = new Map();

/** Return the live parts of a document by name. */
function parts(root) {
  return new Map([...root.querySelectorAll("[data-live]")].map((one) => [one.dataset.live, one]));
}

/** Remember how the parts came, before scripts change them. */
export function remember() {
  for (const [name, part] of parts(document)) served.set(name, part.innerHTML);
}

/** Fetch the page again and exchange the parts that have changed; return their names. */
export async function refresh(signal) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal });
  if (answer.redirected) location.reload(); // to sign in: the key is valid no more
  if (!answer.ok) throw new Error(`the page was answered with ${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const changed = [];
  const here = parts(document);
  for (const [name, next] of parts(fresh)) {
    const part = here.get(name);
    if (!part || served.get(name) === next.innerHTML) continue;
    served.set(name, next.innerHTML);
    exchange(part, next);
    changed.push(name);
  }
  return changed;
}

function exchange(part, next) {
  const checked = new Set([...part.querySelectorAll("input:checked")].map((one) => one.value));
  const open = new Set([...part.querySelectorAll("details")].map((one, index) => (one.open ? index : -1)));
  const focused = part.contains(document.activeElement) ? path(document.activeElement) : null;
  part.replaceChildren(...document.adoptNode(next).childNodes);
  part.toggleAttribute("data-open", next.hasAttribute("data-open"));
  part.querySelectorAll("input[type=checkbox]").forEach((one) => { one.checked = checked.has(one.value); });
  part.querySelectorAll("details").forEach((one, index) => { one.open = one.open || open.has(index); });
  enhance(part);
  if (focused) part.querySelector(focused)?.focus();
}

/** Return a selector that finds an element again after its part was exchanged. */
function path(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  if (element.getAttribute("href")) return `a[href="${CSS.escape(element.getAttribute("href"))}"]`;
  if (element.value) return `[value="${CSS.escape(element.value)}"]`;
  return null;
}

const line = () => document.getElementById("connection");

/** Say that the service is away, or that it is back. */
export function tellConnection(isThere) {
  const said = line();
  if (!isThere) {
    said.textContent = "The service does not answer. This page goes on by itself as soon as it does.";
    said.hidden = false;
  } else if (!said.hidden) {
    said.textContent = "The service is back.";
    setTimeout(() => { said.hidden = true; }, 4000);
  }
}

/** Refresh every so often while a condition holds and the page is looked at; says when the service is away. */
export function refreshWhile(holds, interval_ms) {
  const turn = async () => {
    if (!document.hidden && holds()) {
      try {
        await refresh();
        tellConnection(true);
      } catch { tellConnection(false); }
    }
    setTimeout(turn, interval_ms);
  };
  setTimeout(turn, interval_ms);
}
