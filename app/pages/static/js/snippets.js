// The same request as curl, Python and JSON.
const quoted = (text) => `'${text.replaceAll("'", `'"'"'`)}'`;

/** Return a JSON value as Python writes it. */
export function asPython(value, indent = "") {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map((one) => asPython(one, indent)).join(", ")}]`;
  if (typeof value === "object") {
    const inner = `${indent}    `;
    const rows = Object.entries(value).map(([key, one]) => `${inner}${JSON.stringify(key)}: ${asPython(one, inner)},`);
    return rows.length ? `{\n${rows.join("\n")}\n${indent}}` : "{}";
  }
  return JSON.stringify(value);
}

/** Show a specification in the three boxes. */
export function showSnippets(spec, url) {
  const text = JSON.stringify(spec, null, 2);
  document.getElementById("as-json").textContent = text;
  document.getElementById("as-curl").textContent =
    `curl ${quoted(`${url}/v1/jobs`)} -H 'Content-Type: application/json' -d ${quoted(text)}`;
  document.getElementById("as-python").textContent =
    `from driftline import Driftline\n\ndl = Driftline(${JSON.stringify(url)})\njob = dl.submit(${asPython(spec)})\njob.wait()\nprint(job.summary())`;
}
