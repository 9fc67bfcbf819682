"""What each kind of work item does: verify, calibrate, fine-tune, evaluate."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import asdict
from itertools import chain

from app.db.blobs import BlobMissing
from app.jobs import recording
from app.jobs.items import repeats_of
from app.jobs.recording import Counts
from simulator.config import FinetuneSpec
from simulator.evaluate import evaluate_cells, score
from simulator.nn import coarse_readouts, program_analog_weights
from simulator.tasks import Score
from simulator.train import EpochReport, NonFiniteLossError
from simulator.train import finetune as train
from worker.bench import Bench, checkpoint_of
from worker.files import analog_state_file, conversion_file, provenance
from worker.runner import ItemFailedError, Work

log = logging.getLogger(__name__)

DESCRIBED_SAMPLES = 64


def verify(work: Work) -> None:
    """Compare the imported model with a reference runtime on the first samples of the job's training set."""
    from simulator.onnx.judging import FAIL
    from simulator.onnx.verify import SAMPLES, verify_imported

    bench = Bench(work)
    found = verify_imported(bench.imported, samples=bench.first_inputs(SAMPLES))
    failed = found.state == "failed"
    state = "failed" if failed else "passed"
    work.tell(recording.save_verification, state=state, max_rel_diff=found.max_rel_diff)
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
        work.tell(recording.save_warning, code="import_inexact", message=message)


def calibrate(work: Work) -> None:
    """Find the input ranges of a variant's tiles from the first training batches."""
    bench = Bench(work)
    variant = work.payload["variant"]
    model = bench.calibrated(bench.analog(variant))
    work.tell(recording.save_checkpoint, blob_key=work.blobs.put(checkpoint_of(model)).key)


def finetune(work: Work) -> None:
    """Train the variant `hwa` under analog noise, or `control` without; go on from the last checkpoint."""
    bench = Bench(work)
    variant = work.payload["variant"]
    spec = FinetuneSpec.model_validate(bench.spec["finetune"])
    digital = bench.network.to(bench.device)
    teacher = None if spec.distillation is None else copy.deepcopy(digital)
    last_epoch, resume = _checkpoint(work)
    model = bench.convert(digital) if variant == "hwa" else digital
    if variant == "hwa" and resume is None:
        model = bench.calibrated(model)  # a checkpoint has the ranges already
    samples_an_epoch = len(bench.train.first(spec.max_samples))
    work.set_done((last_epoch + 1) * samples_an_epoch)

    def on_epoch(report: EpochReport, state: bytes) -> None:
        metrics = asdict(report)
        epoch = metrics.pop("epoch")
        unused = work.tell(
            recording.save_epoch,
            epoch=epoch,
            metrics=metrics,
            blob_key=work.blobs.put(state).key,
            progress_done=(epoch + 1) * samples_an_epoch,
        )
        if unused is not None:
            work.blobs.delete(unused)

    try:
        train(
            model,
            bench.train,
            spec,
            task=bench.task,
            seed=bench.seed,
            teacher=teacher,
            resume=resume,
            on_epoch=on_epoch,
            on_batch=work.advance,
            check_stop=work.check_stop,
        )
    except NonFiniteLossError as error:
        raise ItemFailedError("non_finite_loss", str(error)) from error


def _checkpoint(work: Work) -> tuple[int, bytes | None]:
    """Return the last epoch that was stored and its checkpoint; -1 and None to begin with the first."""
    checkpoint = work.item.checkpoint
    if checkpoint is None:
        return -1, None
    try:
        return int(checkpoint["epoch"]), work.blobs.read(checkpoint["blob_key"])
    except BlobMissing as missing:
        log.warning("%s, the last checkpoint: training begins anew", missing)
        return -1, None


def baseline(work: Work) -> None:
    """Score a model in floating point, and store the files that describe it."""
    bench = Bench(work)
    variant = work.payload["variant"]
    model = bench.digital(variant)
    result = score(
        model,
        bench.test,
        task=bench.task,
        batch_size=bench.evaluate["batch_size"],
        check_stop=work.check_stop,
        on_batch=work.advance,
    )
    work.tell(recording.save_baseline, variant=variant, counts=_counts(result))
    if variant == "digital":
        work.save_artifact("provenance.json", "application/json", provenance(work, bench.device))
    if variant == "hwa":
        from simulator.onnx.export import export_model

        exported = export_model(bench.imported, model)
        work.save_artifact("finetuned.onnx", "application/octet-stream", exported)


def evaluate(work: Work) -> None:
    """Compute the missing cells of a shard: ranges of repeats at all times; then go on with the next one."""
    bench = Bench(work)
    variant = work.payload["variant"]
    times_s = bench.evaluate["t_inference"]

    ranges = repeats_of(work.payload)
    done = work.ask(recording.finished_cells, work.job.id, variant)
    shard = [(repeat, t) for ends in ranges for repeat in range(*ends) for t in times_s]
    work.set_done(sum(cell in done for cell in shard) * len(bench.test))
    model = bench.ready(variant)

    def on_cell(repeat: int, t_inference_s: float, result: Score) -> None:
        work.tell(
            recording.save_cell,
            variant=variant,
            repeat=repeat,
            t_inference=t_inference_s,
            counts=_counts(result),
            samples=len(bench.test),
        )

    evaluated = 0
    while evaluated < len(ranges):
        evaluate_cells(
            model,
            bench.test,
            task=bench.task,
            repeats=chain(*(range(*ends) for ends in ranges[evaluated:])),
            times_s=times_s,
            batch_size=bench.evaluate["batch_size"],
            done=done,
            on_cell=on_cell,
            check_stop=work.check_stop,
            on_batch=work.advance,
        )
        evaluated = len(ranges)
        ranges = work.take_over()
        if evaluated < len(ranges):
            done = work.ask(recording.finished_cells, work.job.id, variant)


def describe(work: Work) -> None:
    """Store what is on a variant's tiles, and how well each layer does on training samples."""
    bench = Bench(work)
    variant = work.payload["variant"]
    model = bench.ready(variant)
    work.save_artifact("analog_state.safetensors", "application/octet-stream", analog_state_file(model))
    samples = bench.train.first(DESCRIBED_SAMPLES)
    content = conversion_file(model, variant, samples.inputs)
    work.save_artifact("conversion.json", "application/json", content)
    program_analog_weights(model, repeat=0)
    if coarse := coarse_readouts(model):
        others = f" So it is with {len(coarse) - 1} more tiles." if len(coarse) > 1 else ""
        message = f"{coarse[0]}.{others}"
        work.tell(recording.save_warning, code="coarse_drift_compensation", message=message)


STEPS: dict[str, Callable[[Work], None]] = {
    "verify": verify,
    "calibrate": calibrate,
    "finetune": finetune,
    "baseline": baseline,
    "evaluate": evaluate,
    "describe": describe,
}


def _counts(result: Score) -> Counts:
    return Counts(**asdict(result))
