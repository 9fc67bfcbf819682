"""What a job's numbers depend on, as hashes: jobs with equal hashes have equal numbers.

A variant's numbers depend on the model, the data, the configuration, the fine-tuning (if it is trained), the
seed and what decides the last bits (batch sizes, threads, device, compiled loops). What it was trained to
depends on less: on the configuration of training, and on nothing that programming or evaluation does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.db.tables import Dataset, Job, Model
from app.engine.abilities import loops_of
from app.engine.keys import ItemKey, ItemKind
from app.engine.specification import config_of
from simulator.config import Variant
from simulator.config.compatibility import inputs_in_order
from simulator.config.job import JobSpec
from simulator.config.maintenance import Schedule
from simulator.config.training_config import decides_training, training_config
from simulator.numerics import NUMBERS


@dataclass(frozen=True)
class ContentKeys:
    """The hashes of a job.

    Attributes:
        results: of each variant's numbers, `digital` included.
        training: of each trained variant's parameters.
    """

    results: Mapping[Variant, str] = field(default_factory=dict)
    training: Mapping[Variant, str] = field(default_factory=dict)

    @property
    def stored(self) -> dict[str, str]:
        """The hashes by what they are of: a variant, or the item that trains one."""
        results = {variant.value: key for variant, key in self.results.items()}
        return results | {training_item(variant): key for variant, key in self.training.items()}


def training_item(variant: Variant) -> str:
    """Return the key of the item that trains a variant."""
    return str(ItemKey(ItemKind.FINETUNE, variant))


def content_keys(job: Job, spec: JobSpec, model: Model, dataset: Dataset | None) -> ContentKeys:
    """Return what the job's numbers depend on, as hashes."""
    stored = spec.model_dump(mode="json")
    finetune = stored["finetune"]
    if finetune is not None:
        del finetune["rpu_config"]  # it counts as what it makes of the configuration
    passes = {
        "numbers": NUMBERS,
        "model": model.sha256,
        "dataset": job.dataset_ref if dataset is None else dataset.identity,
        "task": stored["task"],
        "threads": job.execution["threads"],
        "loops": loops_of(job),
        "device": stored["device"],
    }
    order = None if dataset is None else _inputs_in_order(model, dataset)
    if order is not None and order != tuple(sorted(order)):
        passes["inputs"] = order
    evaluated = {"max_samples": spec.evaluate.max_samples, "batch_size": spec.evaluate.batch_size}
    analog = {
        "config": job.effective_config,
        "layers": stored["layers"],
        "calibration": stored["calibration"],
        "seed": job.seed,
    }
    if spec.evaluate.maintenance is not None:
        analog["maintenance"] = _acting(spec.evaluate.maintenance)
    results = {Variant.DIGITAL: _hash({**passes, **evaluated})}
    for variant in spec.analog:
        trained: dict[str, Any] = {}
        if variant.is_trained:
            trained = {"finetune": finetune, "variant": variant.value}
        if variant is Variant.HWA:
            trained |= _other_training(job, spec)
        results[variant] = _hash({**passes, **evaluated, **analog, **trained})
    training = {}
    for variant in spec.trained:
        noise = _training_on_tiles(job, spec, stored) if variant is Variant.HWA else {}
        content = {"training": variant.value, "finetune": finetune, "seed": job.seed, **noise}
        training[variant] = _hash({**passes, **content})
    return ContentKeys(results, training)


def _inputs_in_order(model: Model, dataset: Dataset) -> tuple[int, ...] | None:
    wanted, given = ([one["name"] for one in report["inputs"]] for report in (model.report, dataset.report))
    return inputs_in_order(wanted, given)


def _acting(schedule: Schedule) -> list[dict[str, Any]]:
    """Return what of a schedule decides numbers: samples count where some run through the chip."""
    without = {"samples"}
    return [
        rule.model_dump(mode="json", exclude=None if any(one.needs_samples for one in rule.do) else without)
        for rule in schedule
    ]


def _other_training(job: Job, spec: JobSpec) -> dict[str, Any]:
    """Return the configuration of training where it is not the evaluation's."""
    config = config_of(job)
    training = decides_training(training_config(config, spec.finetune), spec.rules)
    return {} if training == decides_training(config, spec.rules) else {"training_config": training}


def _training_on_tiles(job: Job, spec: JobSpec, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return what training under analog noise depends on, besides what all training does."""
    config = training_config(config_of(job), spec.finetune)
    content = {"config": decides_training(config, spec.rules), "layers": stored["layers"]}
    if config.pre_post.input_range.enable or spec.rules.overrides:
        # Input ranges are calibrated before training, on batches of the evaluation's size.
        content |= {"calibration": stored["calibration"], "batch_size": spec.evaluate.batch_size}
    return content


def _hash(value: dict[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
