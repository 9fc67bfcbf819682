// The form of a new job: it writes the specification, has the service judge it as it grows, and submits it.
import { installEditor } from "./editor.js";
import { rowsOf, scheduleOf } from "./schedule.js";
import { showSnippets } from "./snippets.js";
import { ask, sentences } from "./service.js";
import { parseTimes } from "./times.js";
import { upload } from "./upload.js";
import { about, bandWords } from "./words.js";

const form = document.getElementById("new-job");
const facts = document.getElementById("facts").dataset; // of a form, `dataset` is its field of that name
const { api } = facts;
const { root } = document.documentElement.dataset;
const start = JSON.parse(facts.start);
const at = (id) => document.getElementById(id);
const chosen = (name) => [...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value);
const REST_MS = 450;
const MOST_ROWS = 20; // rules that a schedule may have
const OWN_HARDWARE = "own:"; // what the job says that the form starts from, where it is more than a name
let overrides = {}; // null while the editor's text is no JSON
let judging = null;
let waiting = 0;

const whole = (id) => (at(id).value === "" ? null : Number(at(id).value));

/** Return what a job in waves of chips must come to know; null where their number is fixed. */
const until = (evaluate) => (typeof evaluate?.repeats === "object" ? evaluate.repeats : null);

/** Return the chips that the form asks for: a number, or what must be known to have enough. */
function repeats() {
  if (!at("in-waves").checked) return whole("repeats") ?? 10;
  const asked = { until_ci95: whole("until-ci95") ?? 0.002, at_least: whole("at-least") ?? 10, at_most: whole("at-most") ?? 400 };
  const { on } = until(start?.evaluate) || {};
  return on ? { ...asked, on } : asked;
}

function showWaves() {
  const isOn = at("in-waves").checked;
  for (const id of ["waves", "waves-help"]) at(id).hidden = !isOn;
  at("repeats").disabled = isOn;
}

/** Return what is done to chips in service; null where drift compensation is read out at every time. */
function maintenance() {
  showFault("/evaluate/maintenance", []);
  const choice = at("upkeep").value;
  if (choice === "") return null;
  if (choice === "none") return [];
  if (choice === "own") return start.evaluate.maintenance;
  try {
    return scheduleOf(serviceRows().map((row) => ({
      when: part(row, "when").value, times: part(row, "times").value, does: part(row, "kind").value,
    })));
  } catch (error) {
    showFault("/evaluate/maintenance", [error.message]);
    return null;
  }
}

const serviceRows = () => [...at("services").querySelectorAll(".service")];
const part = (row, name) => row.querySelector(`.service-${name}`);

/** Add a row to the schedule of services, a copy of the last one, and say its number in its labels. */
function addService() {
  const rows = serviceRows();
  const row = rows.at(-1).cloneNode(true);
  for (const name of ["when", "kind"]) part(row, name).value = part(rows.at(-1), name).value;
  at("services").append(row);
  numberServices();
  return row;
}

function numberServices() {
  const rows = serviceRows();
  rows.forEach((row, index) => {
    for (const field of row.querySelectorAll("[data-label]")) field.ariaLabel = `${field.dataset.label} of service ${index + 1}`;
    part(row, "remove").hidden = rows.length === 1;
  });
}

/** Choose what a job says of its chips in service; a schedule that the rows cannot say is kept as it is. */
function fillMaintenance(schedule) {
  const rows = schedule?.length ? rowsOf(schedule) : [];
  if (!schedule) at("upkeep").value = "";
  else if (!schedule.length) at("upkeep").value = "none";
  else if (rows && rows.length <= MOST_ROWS) {
    at("upkeep").value = "schedule";
    rows.forEach(({ when, times, does }, index) => {
      const row = index ? addService() : serviceRows()[0];
      part(row, "when").value = when;
      part(row, "times").value = times;
      part(row, "kind").value = does;
    });
  } else {
    at("upkeep").querySelector("[value=own]").hidden = false;
    at("upkeep").value = "own";
  }
}

function showServed() {
  at("served").hidden = at("upkeep").value !== "schedule";
  at("add-service").disabled = serviceRows().length >= MOST_ROWS;
}

/** Return the specification that the form says; what it does not show is kept from the job it started from. */
function specification() {
  const spec = { name: at("name").value || null, model: at("model").value, dataset: at("dataset").value };
  const tags = at("tags").value.split(",").map((one) => one.trim()).filter(Boolean);
  if (tags.length) spec.tags = tags;
  spec.rpu_config = configuration();
  const epochs = whole("epochs");
  if (epochs) {
    const kept = start?.finetune || {};
    const finetune = { ...kept, epochs, batch_size: whole("batch-size") ?? 64 };
    finetune.optimizer = { ...(kept.optimizer || { type: "sgd", momentum: 0.9 }), lr: whole("lr") ?? 0.01 };
    if (whole("train-samples")) finetune.max_samples = whole("train-samples");
    else delete finetune.max_samples;
    spec.finetune = finetune;
  }
  const evaluate = { ...(start?.evaluate || {}) };
  evaluate.t_inference = times();
  evaluate.repeats = repeats();
  evaluate.variants = chosen("variant");
  const schedule = maintenance();
  if (schedule) evaluate.maintenance = schedule;
  else delete evaluate.maintenance;
  if (whole("max-samples")) evaluate.max_samples = whole("max-samples");
  else delete evaluate.max_samples;
  spec.evaluate = evaluate;
  for (const name of ["layers", "calibration", "task", "device", "priority"]) {
    const isSame = spec.model === start?.model && spec.dataset === start?.dataset;
    if (start?.[name] && (isSame || !["layers", "task"].includes(name))) spec[name] = start[name];
  }
  const hardware = at("hardware").value;
  if (hardware) spec.hardware = hardware === OWN_HARDWARE ? start.hardware : { profile: hardware };
  spec.seed = whole("seed") ?? 0;
  if (!spec.name) delete spec.name;
  return spec;
}

function configuration() {
  const [choice] = chosen("preset");
  if (choice === "own:") return overrides || {};
  const base = choice?.startsWith("stored:") ? { stored: choice.slice(7) } : { preset: choice };
  return overrides && Object.keys(overrides).length ? { ...base, overrides } : base;
}

function times() {
  const typed = [];
  try {
    typed.push(...parseTimes(at("more-times").value));
    showFault("/evaluate/t_inference", []);
  } catch (error) { showFault("/evaluate/t_inference", [error.message]); }
  return [...new Set([...chosen("time").map(Number), ...typed])].sort((a, b) => a - b);
}

/** Show what is wrong beside the field that a pointer names: the field's own, or the nearest around it. */
function showFaults(faults) {
  for (const place of form.querySelectorAll("[data-fault]")) showFault(place.dataset.fault, []);
  const placed = new Map();
  for (const fault of faults) {
    const places = [...form.querySelectorAll("[data-fault]")].map((place) => place.dataset.fault);
    const near = places.filter((place) => fault.pointer === place || fault.pointer.startsWith(`${place}/`))
      .sort((a, b) => b.length - a.length)[0] ?? "";
    const where = near === "/rpu_config" || near === "" ? `${fault.pointer.replace("/rpu_config/overrides", "") || ""}` : "";
    const text = `${where ? `${where}: ` : ""}${fault.message}${fault.hint ? ` – ${fault.hint}` : ""}`;
    placed.set(near, [...(placed.get(near) || []), text]);
  }
  for (const [place, texts] of placed) showFault(place, texts);
}

function showFault(place, texts) {
  const element = form.querySelector(`[data-fault="${place}"]`);
  element.hidden = !texts.length;
  if (element.tagName === "UL") {
    element.replaceChildren(...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  } else element.textContent = texts.join(" ");
  const field = form.querySelector(`[data-pointer="${place}"]`);
  if (field) field.ariaInvalid = texts.length ? "true" : null;
}

/** Say what the job would be, as soon as the form rests. */
function judgeSoon() {
  clearTimeout(waiting);
  waiting = setTimeout(judge, REST_MS);
  showSnippets(specification(), facts.public);
}

async function judge() {
  const spec = specification();
  judging?.abort();
  if (!spec.model || !spec.dataset || overrides === null) return;
  judging = new AbortController();
  const dry = at("dry");
  dry.ariaBusy = "true";
  try {
    const found = await ask(`${api}/jobs?dry_run=true`, { method: "POST", body: spec, signal: judging.signal });
    showFaults([]);
    showEstimate(found);
  } catch (error) {
    if (error.name === "AbortError") return;
    showFaults(error.faults?.length ? error.faults : [{ pointer: "", message: error.message }]);
    dry.replaceChildren(paragraph("The job cannot be done like this; what is wrong stands beside the fields.", "quiet"));
  } finally { dry.ariaBusy = "false"; }
}

function paragraph(text, kind = "") {
  return Object.assign(document.createElement("p"), { textContent: text, className: kind });
}

function showEstimate(found) {
  const rows = [
    ["Tiles", found.tiles.toLocaleString("en")],
    ["Devices", found.devices.toLocaleString("en")],
    ["Utilisation", `${(100 * found.utilisation).toFixed(1)} %`],
    ["Cells", found.cells.toLocaleString("en")],
  ];
  if (found.at_least) rows[3][1] = `${found.at_least.cells.toLocaleString("en")} to ${rows[3][1]}`;
  if (found.cached_cells) rows.push(["Known already", `${found.cached_cells.toLocaleString("en")} cells`]);
  if (found.cost) {
    rows.push(["Energy of an inference", bandWords(found.cost.energy_j, "J")], ["Latency", bandWords(found.cost.latency_s, "s")]);
  }
  const most = found.estimated_seconds;
  const least = found.at_least && most !== null ? `${about(found.at_least.estimated_seconds)} to ` : "";
  rows.push(["Takes", most === null ? "not known yet" : least + about(most).replace("about ", least ? "" : "about ")]);
  const list = Object.assign(document.createElement("dl"), { className: "estimate" });
  for (const [name, value] of rows) {
    list.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
  }
  at("dry").replaceChildren(list, ...found.warnings.map((one) => paragraph(`Warning. ${one.message}`, "notice")));
}

async function showModel() {
  const place = at("model-found");
  if (!at("model").value) { place.replaceChildren(); return; }
  const model = await ask(`${api}/models/${at("model").value}`);
  const rows = model.layers.map((layer) => `<tr><th scope="row"></th><td></td><td></td></tr>`).join("");
  const table = document.createElement("table");
  table.innerHTML = `<caption></caption><thead><tr><th scope="col">Layer</th><th scope="col">Computes</th><th scope="col">Where</th></tr></thead><tbody>${rows}</tbody>`;
  const analog = model.layers.filter((layer) => layer.kind === "analog").length;
  table.caption.textContent = `${model.parameters.toLocaleString("en")} parameters; ${analog} of ${model.layers.length} layers on tiles.`;
  model.layers.forEach((layer, index) => {
    const { cells } = table.tBodies[0].rows[index];
    cells[0].append(Object.assign(document.createElement("code"), { textContent: layer.name }));
    cells[1].textContent = layer.op;
    cells[2].textContent = layer.kind === "analog" ? "analog" : `digital: ${layer.reason || ""}`;
  });
  const box = Object.assign(document.createElement("details"), { className: "fold", open: model.layers.length <= 12 });
  box.append(Object.assign(document.createElement("summary"), { textContent: "Layers" }), table);
  place.replaceChildren(box, ...model.warnings.map((one) => paragraph(`Warning. ${one.message}`, "notice")));
}

function showDataset() {
  at("dataset-found").textContent = at("dataset").selectedOptions[0]?.dataset.about || "";
  const picture = at("dataset-samples"), chosenId = at("dataset").value;
  picture.hidden = !chosenId;
  if (chosenId) picture.src = `${api}/datasets/${encodeURIComponent(chosenId)}/samples?n=4&format=svg`;
}

/** Have a file sent as soon as it is chosen or dropped, and choose what it became. */
function installUpload(kind, describe, show) {
  const input = at(`${kind}-file`), bar = at(`${kind}-progress`), select = at(kind);
  const drop = input.closest(".drop");
  const send = async (file) => {
    showFault(`/${kind}`, []);
    bar.hidden = false;
    try {
      const made = await upload(`${api}/${kind}s`, file, (share) => { bar.value = share; });
      if (![...select.options].some((one) => one.value === made.id)) {
        const option = new Option(made.name, made.id);
        option.dataset.about = describe(made);
        select.add(option, 1);
      }
      select.value = made.id;
      await show();
      judgeSoon();
    } catch (error) {
      showFault(`/${kind}`, sentences(error));
    } finally { bar.hidden = true; }
  };
  input.addEventListener("change", () => input.files[0] && send(input.files[0]));
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
  });
}

/** Fill the form from the job that it starts from. */
function fill(spec) {
  at("model").value = spec.model;
  at("dataset").value = spec.dataset;
  at("name").value = spec.name ? `${spec.name} (copy)`.slice(0, 200) : "";
  at("tags").value = (spec.tags || []).join(", ");
  const config = spec.rpu_config || {};
  const base = config.preset || (config.stored && `stored:${config.stored}`);
  const radio = base && form.querySelector(`input[name=preset][value="${CSS.escape(base)}"]`);
  at("own-config").hidden = Boolean(radio);
  (radio || at("own-config").querySelector("input")).checked = true;
  const written = radio ? config.overrides || {} : config;
  if (Object.keys(written).length) at("overrides").value = JSON.stringify(written, null, 2);
  const named = spec.hardware?.profile;
  if (spec.hardware && (!named || Object.keys(spec.hardware.overrides || {}).length)) {
    at("hardware").add(new Option("as in the job", OWN_HARDWARE));
    at("hardware").value = OWN_HARDWARE;
  } else at("hardware").value = named || "";
  const { evaluate, finetune } = spec;
  for (const box of form.querySelectorAll("input[name=variant]")) box.checked = evaluate.variants.includes(box.value);
  const left = new Set(evaluate.t_inference);
  for (const box of form.querySelectorAll("input[name=time]")) box.checked = left.delete(Number(box.value));
  at("more-times").value = [...left].map((one) => `${one} s`).join(", ");
  const waves = until(evaluate);
  at("in-waves").checked = Boolean(waves);
  if (waves) {
    at("until-ci95").value = waves.until_ci95;
    at("at-least").value = waves.at_least;
    at("at-most").value = waves.at_most;
  } else at("repeats").value = evaluate.repeats;
  fillMaintenance(evaluate.maintenance);
  at("max-samples").value = evaluate.max_samples ?? "";
  at("seed").value = spec.seed;
  at("epochs").value = finetune?.epochs ?? 0;
  if (finetune) {
    at("lr").value = finetune.optimizer.lr;
    at("batch-size").value = finetune.batch_size;
    at("train-samples").value = finetune.max_samples ?? "";
  }
}

/** What the form says is in its address, so that the page can be left and come back to. */
function keep() {
  const address = new URL(location.href);
  for (const name of ["model", "dataset"]) {
    if (at(name).value) address.searchParams.set(name, at(name).value);
    else address.searchParams.delete(name);
  }
  const [preset] = chosen("preset");
  if (preset && !preset.includes(":")) address.searchParams.set("preset", preset);
  else address.searchParams.delete("preset");
  history.replaceState(null, "", address);
}

async function submit(event) {
  event.preventDefault();
  const button = at("submit");
  if (button.disabled) return;
  button.disabled = true;
  try {
    const made = await ask(`${api}/jobs`, { method: "POST", body: specification(), headers: { "Idempotency-Key": crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` } });
    location.href = `${root}jobs/${made.id}`;
  } catch (error) {
    button.disabled = false;
    showFaults(error.faults?.length ? error.faults : [{ pointer: "", message: error.message }]);
    form.querySelector("[data-fault]:not([hidden])")?.scrollIntoView({ block: "center" });
  }
}

/** hwa and control need fine-tuning, and nothing else does. */
function suggestEpochs(event) {
  if (event.target.name !== "variant" || !event.target.checked) return;
  if (["hwa", "control"].includes(event.target.value) && !whole("epochs")) at("epochs").value = 3;
}

if (start) fill(start);
const asked = new URLSearchParams(location.search);
for (const name of ["model", "dataset"]) if (asked.get(name)) at(name).value = asked.get(name);
installUpload("model", () => "", showModel);
installUpload("dataset", (made) => `${made.train_size.toLocaleString("en")} training and ${made.test_size.toLocaleString("en")} test samples`, showDataset);
installEditor(at("overrides"), `${api}/rpu-configs`, configuration, (value) => { overrides = value; judgeSoon(); });
form.addEventListener("change", suggestEpochs);
form.addEventListener("change", showWaves);
form.addEventListener("change", showServed);
at("add-service").addEventListener("click", () => { part(addService(), "times").focus(); showServed(); judgeSoon(); });
at("services").addEventListener("click", (event) => {
  if (!event.target.closest(".service-remove")) return;
  event.target.closest(".service").remove();
  numberServices();
  showServed();
  judgeSoon();
});
form.addEventListener("change", keep);
form.addEventListener("input", judgeSoon);
form.addEventListener("submit", submit);
form.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.ctrlKey) submit(event); });
at("model").addEventListener("change", showModel);
at("dataset").addEventListener("change", showDataset);
showDataset();
showWaves();
showServed();
judgeSoon();
await showModel();
