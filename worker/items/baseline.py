"""Baseline: score a model in floating point."""

from __future__ import annotations

from app.engine.kinds.inference import results
from simulator.config import Variant
from simulator.evaluate import score
from worker.artifacts import provenance
from worker.job_models import JobModels
from worker.runner.context import ItemContext


def handle(item: ItemContext) -> None:
    """Score a model in floating point, and store the files that describe it."""
    models = JobModels(item)
    variant = item.variant
    model = models.digital(variant)
    result = score(
        model,
        models.test,
        task=models.task,
        batch_size=models.evaluate.batch_size,
        check_stop=item.check_stop,
        on_batch=item.advance,
    )
    item.write(results.save_baseline, variant=variant, counts=result.counts())
    if variant is Variant.DIGITAL:
        item.save_artifact("provenance.json", "application/json", provenance(item, models.device))
    if variant is Variant.HWA:
        from simulator.onnx.export import export_model

        exported = export_model(models.imported, model)
        item.save_artifact("finetuned.onnx", "application/octet-stream", exported)
