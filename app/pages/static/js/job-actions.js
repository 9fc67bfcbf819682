// What can be done with a job: each action is a request; those that lose something ask first.
import { ask, sentences } from "./service.js";
import { parseTimes } from "./times.js";

export function installActions(job) {
  const { api } = job.dataset;
  const root = document.documentElement.dataset.root;
  const goTo = (id) => { location.href = `${root}jobs/${id}`; };
  const actions = {
    retry: async () => goTo((await ask(`${api}/retry`, { method: "POST" })).id),
    cancel: () => ask(`${api}/cancel`, { method: "POST" }),
    delete: async () => {
      await ask(api, { method: "DELETE" });
      location.href = root;
    },
    extend: async (form) => {
      const body = { repeats: Number(form.elements.repeats.value) };
      const times = parseTimes(form.elements.times.value);
      if (times.length) body.t_inference = times;
      goTo((await ask(`${api}/extend`, { method: "POST", body })).id);
    },
  };

  job.addEventListener("click", async (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener) document.getElementById(opener.dataset.dialog).showModal();
    const button = event.target.closest("button[data-act]");
    if (!button) return;
    button.disabled = true;
    try {
      await actions[button.dataset.act]();
    } catch (error) {
      button.disabled = false;
      button.title = sentences(error).join(" ");
      alertBeside(button, sentences(error));
    }
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  });

  for (const form of document.querySelectorAll("dialog form[data-act]")) {
    form.addEventListener("submit", async (event) => {
      if (event.submitter?.value !== "go") return;
      event.preventDefault();
      const fault = form.querySelector(".fault");
      fault.hidden = true;
      event.submitter.disabled = true;
      try {
        await actions[form.dataset.act](form);
        form.closest("dialog").close();
      } catch (error) {
        fault.textContent = sentences(error).join(" ");
        fault.hidden = false;
      } finally { event.submitter.disabled = false; }
    });
  }
}

function alertBeside(button, words) {
  const said = document.createElement("p");
  said.className = "fault";
  said.setAttribute("role", "alert");
  said.textContent = words.join(" ");
  button.closest("[role=group]").querySelector(".fault")?.remove();
  button.closest("[role=group]").append(said);
}
