// What every page does.
import { copy, enhance } from "./enhance.js";
import { remember } from "./live.js";

const THEMES = ["", "light", "dark"];
const SAID = { "": "as the system has them", light: "light", dark: "dark" };
const SIGN = { "": "◐", light: "☀", dark: "☾" };

function showTheme(button, theme) {
  button.textContent = SIGN[theme];
  button.ariaLabel = `Colours: ${SAID[theme]}`;
  button.title = button.ariaLabel;
}

function installTheme() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  showTheme(button, root.dataset.theme || "");
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme || "") + 1) % THEMES.length];
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    try { localStorage.setItem("driftline-theme", next); } catch { /* it holds for this page then */ }
    showTheme(button, next);
    dispatchEvent(new Event("driftline:theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    dispatchEvent(new Event("driftline:theme"));
  });
}

function installCopying() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (button) copy(document.getElementById(button.dataset.copy).textContent, button);
  });
}

function openTarget() {
  const target = location.hash ? document.getElementById(location.hash.slice(1)) : null;
  if (target?.matches("details")) {
    for (let one = target; one; one = one.parentElement.closest("details")) one.open = true;
    target.scrollIntoView();
  }
}

remember();
enhance(document.body);
installTheme();
installCopying();
addEventListener("hashchange", openTarget);
openTarget();
