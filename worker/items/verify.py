"""Verify: compare the imported model with a reference runtime."""

from __future__ import annotations

from app.engine import recording
from app.engine.kinds.inference import results
from worker.job_models import JobModels
from worker.runner.context import ItemContext, ItemFailedError


def handle(item: ItemContext) -> None:
    """Compare the imported model with a reference runtime on the first samples of the job's training set."""
    from simulator.onnx.judging import FAIL
    from simulator.onnx.verify import SAMPLES, verify_imported

    models = JobModels(item)
    found = verify_imported(models.imported, samples=models.first_inputs(SAMPLES))
    failed = found.state == "failed"
    state = "failed" if failed else "passed"
    item.write(results.save_verification, state=state, max_rel_diff=found.max_rel_diff)
    if failed:
        raise ItemFailedError(
            "import_mismatch",
            f"on samples of the dataset the imported model differs from {found.reference} by "
            f"{found.max_rel_diff:.3g} relative to the largest output (limit {FAIL:g})"
            + (f", most at the value {found.where!r}" if found.where else "")
            + "; export the model anew, or report this file",
        )
    if found.state == "warned":
        message = (
            f"on samples of the dataset the imported model differs from {found.reference} by "
            f"{found.max_rel_diff:.2g} of the largest output"
        )
        item.write(recording.save_warning, code="import_inexact", message=message)
