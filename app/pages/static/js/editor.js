// The editor of overrides: completes the names of fields from the published schema, and shows faults as they are typed.
import { ask } from "./service.js";

const REST_MS = 350;

/** Have a text area edit JSON; `onValue` gets what it means, null while it is no JSON. */
export async function installEditor(area, api, configuration, onValue) {
  const state = document.getElementById("overrides-state");
  let checking = null;
  let timer = 0;

  function read() {
    clearTimeout(timer);
    checking?.abort();
    const text = area.value.trim();
    let value = {};
    try {
      value = text ? JSON.parse(text) : {};
      if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("write an object, such as {\"forward\": {\"out_noise\": 0.04}}");
    } catch (error) {
      area.ariaInvalid = "true";
      state.textContent = `No JSON yet: ${error.message}`;
      onValue(null);
      return;
    }
    area.ariaInvalid = null;
    state.textContent = "";
    onValue(value);
    timer = setTimeout(check, REST_MS);
  }

  async function check() {
    checking = new AbortController();
    const faults = document.querySelector('[data-fault="/rpu_config"]');
    const show = (texts) => {
      faults.hidden = !texts.length;
      faults.replaceChildren(...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
      area.ariaInvalid = texts.length ? "true" : null;
    };
    try {
      const found = await ask(`${api}/validate`, { method: "POST", body: configuration(), signal: checking.signal });
      show([]);
      const warnings = found.warnings.map((one) => `Warning. ${one.message}`);
      state.textContent = area.value.trim() ? ["This can be simulated.", ...warnings].join(" ") : warnings.join(" ");
    } catch (error) {
      if (error.name === "AbortError") return;
      state.textContent = "";
      show((error.faults?.length ? error.faults : [{ pointer: "", message: error.message }]).map((one) =>
        `${one.pointer.replace("/overrides", "") || "the configuration"}: ${one.message}${one.hint ? ` – ${one.hint}` : ""}`));
    }
  }

  area.addEventListener("input", read);
  document.getElementById("hardware-part").addEventListener("change", (event) => { if (event.target.name === "preset") read(); });
  read();
  try {
    new Completion(area, await ask(`${api}/schema`), read);
  } catch { /* without the schema there is no completion; the service still tells faults */ }
}

/** Names of fields, at the place in the JSON where the cursor is. */
class Completion {
  constructor(area, schema, onChange) {
    Object.assign(this, { area, schema, onChange, list: document.getElementById("completions"), found: [], active: 0 });
    area.addEventListener("keydown", (event) => this.key(event));
    area.addEventListener("input", () => this.offer());
    area.addEventListener("blur", () => setTimeout(() => this.close(), 150));
    this.list.addEventListener("mousedown", (event) => {
      const item = event.target.closest("li");
      if (item) { event.preventDefault(); this.take(Number(item.dataset.index)); }
    });
    if (document.activeElement === area) this.offer(); // what was typed before the schema came
  }

  key(event) {
    const isOpen = !this.list.hidden;
    if ((event.ctrlKey && event.key === " ") || (!isOpen && event.key === "ArrowDown" && this.place()?.typed)) {
      event.preventDefault();
      this.offer(true);
    } else if (isOpen && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      this.active = (this.active + (event.key === "ArrowDown" ? 1 : -1) + this.found.length) % this.found.length;
      this.show();
    } else if (isOpen && (event.key === "Enter" || event.key === "Tab") && !event.ctrlKey) {
      event.preventDefault();
      this.take(this.active);
    } else if (isOpen && event.key === "Escape") {
      event.preventDefault();
      this.close();
    }
  }

  /** Return the path of the object around the cursor and the name that is being typed there; null elsewhere. */
  place() {
    const before = this.area.value.slice(0, this.area.selectionStart);
    const path = [];
    let name = null, isName = true, text = null, from = 0;
    for (let index = 0; index < before.length; index += 1) {
      const sign = before[index];
      if (text !== null) {
        if (sign === "\\") index += 1;
        else if (sign === '"') { if (isName) name = text; text = null; } else text += sign;
      } else if (sign === '"') { text = ""; from = index; }
      else if (sign === ":") isName = false;
      else if (sign === "{") { path.push(name); name = null; isName = true; }
      else if (sign === "}") { path.pop(); isName = false; }
      else if (sign === ",") { isName = true; name = null; }
    }
    if (!path.length || !isName) return null;
    if (text === null && !/[{,]\s*$/.test(before)) return null;
    return { path: path.slice(1), typed: text ?? "", from: text === null ? before.length : from };
  }

  properties(path) {
    let nodes = this.members(this.schema);
    for (const name of path) nodes = nodes.flatMap((node) => (node.properties?.[name] ? this.members(node.properties[name]) : []));
    return new Map(nodes.flatMap((node) => Object.entries(node.properties || {})));
  }

  members(node) {
    if (node.$ref) return this.members(this.schema.$defs[node.$ref.split("/").pop()]);
    const parts = [...(node.anyOf || []), ...(node.oneOf || [])];
    return parts.length ? parts.flatMap((part) => this.members(part)) : [node];
  }

  offer(isAsked = false) {
    const place = this.place();
    if (!place || (!isAsked && !place.typed)) { this.close(); return; }
    const typed = place.typed.toLowerCase();
    this.found = [...this.properties(place.path)].filter(([name]) => name.toLowerCase().includes(typed) && name !== place.typed)
      .sort(([a], [b]) => Number(!a.startsWith(typed)) - Number(!b.startsWith(typed))).slice(0, 40);
    this.active = 0;
    if (this.found.length) this.show();
    else this.close();
  }

  show() {
    this.list.replaceChildren(...this.found.map(([name, part], index) => {
      const item = document.createElement("li");
      Object.assign(item, { id: `completion-${index}`, role: "option", ariaSelected: String(index === this.active) });
      item.dataset.index = index;
      item.append(Object.assign(document.createElement("code"), { textContent: name }), ` ${part.description || ""}`);
      return item;
    }));
    this.list.hidden = false;
    this.area.ariaExpanded = "true";
    this.area.setAttribute("aria-activedescendant", `completion-${this.active}`);
    this.list.children[this.active].scrollIntoView({ block: "nearest" });
  }

  close() {
    this.list.hidden = true;
    this.area.ariaExpanded = "false";
    this.area.removeAttribute("aria-activedescendant");
  }

  take(index) {
    const place = this.place();
    const [name, part] = this.found[index];
    const isObject = this.members(part).some((node) => node.properties);
    const rest = this.area.value.slice(this.area.selectionStart).replace(/^"/, "");
    const written = `"${name}": ${isObject ? "{}" : ""}`;
    this.area.value = this.area.value.slice(0, place.from) + written + rest;
    const end = place.from + written.length - (isObject ? 1 : 0);
    this.area.setSelectionRange(end, end);
    this.close();
    this.onChange();
  }
}
