"""Describe: store what is on a variant's tiles."""

from __future__ import annotations

from app.engine import recording
from simulator.nn import coarse_readouts
from worker.artifacts import analog_state_file, conductances_file, conversion_file
from worker.job_models import JobModels
from worker.runner.context import ItemContext

DESCRIBED_SAMPLES = 64


def handle(item: ItemContext) -> None:
    """Store what is on a variant's tiles, and how well each layer does on training samples."""
    models = JobModels(item)
    variant = item.variant
    model = models.ready(variant)
    item.save_artifact("analog_state.safetensors", "application/octet-stream", analog_state_file(model))
    item.save_artifact("conductances.safetensors", "application/octet-stream", conductances_file(model))
    samples = models.train.first(DESCRIBED_SAMPLES)
    content = conversion_file(model, variant, samples.inputs)  # programs chip 0
    item.save_artifact("conversion.json", "application/json", content)
    if coarse := coarse_readouts(model):
        others = f" So it is with {len(coarse) - 1} more tiles." if len(coarse) > 1 else ""
        message = f"{coarse[0]}.{others}"
        item.write(recording.save_warning, code="coarse_drift_compensation", message=message)
