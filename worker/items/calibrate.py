"""Calibrate: find the input ranges of a variant's tiles."""

from __future__ import annotations

from app.engine import recording
from worker.job_models import JobModels, checkpoint_of
from worker.runner.context import ItemContext


def handle(item: ItemContext) -> None:
    """Find the input ranges of a variant's tiles from the first training batches."""
    models = JobModels(item)
    variant = item.variant
    model = models.calibrated(models.analog(variant))
    item.write(recording.save_checkpoint, blob_key=item.blobs.put(checkpoint_of(model)).key)
