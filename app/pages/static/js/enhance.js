// What scripts add to a part of a page: times that tell how long ago, tables that can be sorted and copied.
import { ago } from "./times.js";

export function enhance(root) {
  root.querySelectorAll("time[data-ago]").forEach(tellAgo);
  const tables = [...root.querySelectorAll("table[data-sortable]")];
  if (root.matches?.("table[data-sortable]")) tables.push(root);
  tables.forEach(makeSortable);
  root.querySelectorAll("table[data-copyable]").forEach(makeCopyable);
}

function tellAgo(time) {
  time.title ||= time.textContent;
  time.textContent = ago(Date.parse(time.dateTime));
}

setInterval(() => document.querySelectorAll("time[data-ago]").forEach(tellAgo), 30000);

/** The order of a table is in the address: `?sort=<table>.<column>`, with a minus in front when falling. */
function wanted(table) {
  const found = /^(-?)([a-z]+)\.(\d+)$/.exec(new URLSearchParams(location.search).get("sort") || "");
  return found && found[2] === table.dataset.sortable ? { column: Number(found[3]), falls: found[1] === "-" } : null;
}

function makeSortable(table) {
  table.tHead.querySelectorAll("th:not([data-unsorted])").forEach((head) => {
    if (head.querySelector("button.sort")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falls = head.ariaSort === "ascending";
      const address = new URL(location.href);
      address.searchParams.set("sort", `${falls ? "-" : ""}${table.dataset.sortable}.${head.cellIndex}`);
      history.replaceState(null, "", address);
      sort(table, head.cellIndex, falls);
    });
  });
  const order = wanted(table);
  if (order) sort(table, order.column, order.falls);
}

function valueOf(row, column) {
  const cell = row.cells[column];
  const text = cell ? cell.dataset.value ?? cell.textContent.trim() : "";
  const number = Number.parseFloat(text.replaceAll(",", ""));
  return /^[-+]?[\d.,]/.test(text) && Number.isFinite(number) ? number : text.toLowerCase();
}

function sort(table, column, falls) {
  for (const head of table.tHead.rows[0].cells) head.ariaSort = null;
  const head = table.tHead.rows[0].cells[column];
  if (!head) return;
  head.ariaSort = falls ? "descending" : "ascending";
  const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row, column), row]);
  const order = ([a], [b]) => {
    if (typeof a === typeof b) return a < b ? -1 : Number(a > b);
    return typeof a === "number" ? -1 : 1;
  };
  rows.sort((a, b) => (falls ? order(b, a) : order(a, b)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

function makeCopyable(table) {
  if (!table.caption || table.caption.querySelector("button")) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small table-tools";
  button.textContent = "Copy table";
  button.addEventListener("click", () => {
    const rows = [...table.rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim().replace(/\s+/g, " ")));
    copy(rows.map((row) => row.join("\t")).join("\n"), button);
  });
  table.caption.append(" ", button);
}

/** Put a text on the clipboard, and say so on the button. */
export async function copy(text, button) {
  const label = button.innerHTML;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch { button.textContent = "Not allowed to copy"; }
  setTimeout(() => { button.innerHTML = label; }, 1500);
}
