// Runs before the page is painted: says that there are scripts, and which colours were chosen.
document.documentElement.dataset.scripts = "";
try {
  const chosen = localStorage.getItem("driftline-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* storage is switched off: the system's colours it is */ }
