"""Fine-tune: train a variant, with analog noise or without."""

from __future__ import annotations

import copy
import logging
from dataclasses import asdict

from app.db.blobs import BlobMissing
from app.engine.kinds.inference import results
from simulator.config import FinetuneSpec, Variant
from simulator.train import EpochReport, NonFiniteLossError, SingleSampleError
from simulator.train import finetune as train
from worker.job_models import JobModels
from worker.runner.context import ItemContext, ItemFailedError

log = logging.getLogger(__name__)


def handle(item: ItemContext) -> None:
    """Train the variant `hwa` under analog noise, or `control` without; go on from the last checkpoint."""
    models = JobModels.for_training(item)
    variant = item.variant
    spec = _spec(models)
    digital = models.network.to(models.device)
    teacher = None if spec.distillation is None else copy.deepcopy(digital)
    last_epoch, resume = _checkpoint(item)
    model = models.convert(digital) if variant is Variant.HWA else digital
    if variant is Variant.HWA and resume is None:
        model = models.calibrated(model)  # a checkpoint has the ranges already
    samples_an_epoch = len(models.train.first(spec.max_samples))
    item.set_done((last_epoch + 1) * samples_an_epoch)

    def on_epoch(report: EpochReport, state: bytes) -> None:
        metrics = asdict(report)
        epoch = metrics.pop("epoch")
        unused = item.write(
            results.save_epoch,
            epoch=epoch,
            metrics=metrics,
            blob_key=item.blobs.put(state).key,
            progress_done=(epoch + 1) * samples_an_epoch,
        )
        if unused is not None:
            item.blobs.delete(unused)
        item.give_way()

    try:
        train(
            model,
            models.train,
            spec,
            task=models.task,
            seed=models.seed,
            teacher=teacher,
            resume=resume,
            on_epoch=on_epoch,
            on_batch=item.advance,
            check_stop=item.check_stop,
        )
    except NonFiniteLossError as error:
        raise ItemFailedError("non_finite_loss", str(error)) from error
    except SingleSampleError as error:
        raise ItemFailedError("batch_too_small", str(error)) from error


def _spec(models: JobModels) -> FinetuneSpec:
    if models.spec.finetune is None:
        raise ItemFailedError("internal", "a variant is to be fine-tuned, and the job does not say how")
    return models.spec.finetune


def _checkpoint(item: ItemContext) -> tuple[int, bytes | None]:
    """Return the last epoch that was stored and its checkpoint; -1 and None to begin with the first."""
    checkpoint = item.row.checkpoint
    if checkpoint is None:
        return -1, None
    try:
        return int(checkpoint["epoch"]), item.blobs.read(checkpoint["blob_key"])
    except BlobMissing as missing:
        log.warning("%s, the last checkpoint: training begins anew", missing)
        return -1, None
