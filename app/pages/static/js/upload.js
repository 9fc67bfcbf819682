// Sends a file and tells how far it is: `fetch` does not say, so this is the older kind of request.
import { Refused } from "./service.js";

/** Upload a file; return the JSON of the answer. `onProgress` gets the share that was sent. */
export function upload(url, file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${url}?name=${encodeURIComponent(file.name.replace(/\.[^.]*$/, "").slice(0, 200) || "file")}`);
    const parts = new FormData();
    parts.append("file", file);
    request.upload.addEventListener("progress", (event) => onProgress(event.lengthComputable ? event.loaded / event.total : 0));
    request.addEventListener("load", () => {
      let content = {};
      try { content = JSON.parse(request.responseText); } catch { /* told by the status */ }
      if (request.status < 300) resolve(content);
      else reject(new Refused(content, request.status));
    });
    request.addEventListener("error", () => reject(new Error("the service does not answer")));
    request.send(parts);
  });
}
