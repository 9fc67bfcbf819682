// The list of jobs: choosing some to compare, and keeping up with those that run.
import { refreshWhile } from "./live.js";

const MOST = 8;
const form = document.getElementById("compare-form");

function judge() {
  const chosen = form.querySelectorAll("input[name=job]:checked").length;
  const fits = chosen >= 2 && chosen <= MOST;
  document.getElementById("compare").disabled = !fits;
  const hint = chosen > MOST ? `${chosen} are checked; at most ${MOST} fit beside one another.`
    : chosen === 1 ? "Check at least one more." : "Check two to eight jobs.";
  document.getElementById("compare-hint").textContent = fits ? `${chosen} jobs are checked.` : hint;
}

if (form) {
  form.addEventListener("change", judge);
  judge();
}
refreshWhile(() => document.querySelector("table[data-open]") !== null, 2500);
