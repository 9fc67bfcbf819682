"""From a job's specification to its work items: what must happen, in which order, and how much it is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.db.tables import WorkItem
from app.engine.keys import ItemKey, ItemKind
from app.engine.states import ItemState
from simulator.config import Variant
from simulator.config.job import JobSpec

# Of one variant: enough to keep several workers busy, few enough that starting them is no matter.
MOST_SHARDS = 16


@dataclass(frozen=True)
class Ranges:
    """Whether some layer has an input range, and whether training learns it."""

    enabled: bool = False
    learned: bool = False

    def calibrated_after(self, variant: Variant) -> bool:
        """Return whether the variant's ranges are calibrated once its weights are final."""
        return self.enabled and not (variant is Variant.HWA and self.learned)


@dataclass(frozen=True)
class Sizes:
    """Samples that the job works with, after its own limits."""

    train: int
    test: int

    @classmethod
    def of(cls, spec: JobSpec, *, train: int, test: int) -> Sizes:
        """Return the sizes of a job on a dataset with these numbers of samples."""
        most_train = None if spec.finetune is None else spec.finetune.max_samples
        most_test = spec.evaluate.max_samples
        return cls(
            train=train if most_train is None else min(train, most_train),
            test=test if most_test is None else min(test, most_test),
        )


def plan(
    spec: JobSpec, sizes: Sizes, ranges: Ranges, *, verified: bool, repeats_per_shard: int
) -> list[WorkItem]:
    """Return the job's work items.

    Args:
        spec: the job's.
        sizes: samples of an epoch and of a pass over the test set.
        ranges: what the configuration says of input ranges.
        verified: the model's import was verified before, so no `verify` item is needed.
        repeats_per_shard: smallest number of chips in one evaluation item; no number depends on it.
    """
    repeats, times = spec.evaluate.repeats, len(spec.evaluate.t_inference)
    shard = max(repeats_per_shard, math.ceil(repeats / MOST_SHARDS))
    items: list[WorkItem] = []
    first = _first(verified=verified)
    items += [_item(key, []) for key in first]
    for variant in spec.trained:
        epochs = 0 if spec.finetune is None else spec.finetune.epochs
        items.append(_item(ItemKey(ItemKind.FINETUNE, variant), first, total=epochs * sizes.train))

    items += [
        _item(
            ItemKey(ItemKind.BASELINE, variant), _final_weights(variant, verified=verified), total=sizes.test
        )
        for variant in (Variant.DIGITAL, *spec.trained)
    ]
    for variant in spec.analog:
        needs = needs_of(variant, ranges, verified=verified)
        if ranges.calibrated_after(variant):
            items.append(_item(needs[0], _final_weights(variant, verified=verified)))
        for start in range(0, repeats, shard):
            end = min(repeats, start + shard)
            total = (end - start) * times * sizes.test
            key = ItemKey(ItemKind.EVALUATE, variant, start)
            items.append(_item(key, needs, total=total, repeats=[start, end]))
        if variant is spec.described:
            items.append(_item(ItemKey(ItemKind.DESCRIBE, variant), needs))
    return items


def needs_of(variant: Variant, ranges: Ranges, *, verified: bool) -> list[ItemKey]:
    """Return what must have been done before chips of a variant are programmed."""
    if ranges.calibrated_after(variant):
        return [ItemKey(ItemKind.CALIBRATE, variant)]
    return _final_weights(variant, verified=verified)


def _final_weights(variant: Variant, *, verified: bool) -> list[ItemKey]:
    return [ItemKey(ItemKind.FINETUNE, variant)] if variant.is_trained else _first(verified=verified)


def _first(*, verified: bool) -> list[ItemKey]:
    return [] if verified else [ItemKey(ItemKind.VERIFY)]


def _item(key: ItemKey, needs: Iterable[ItemKey], *, total: int = 0, **payload: Any) -> WorkItem:
    before = [str(one) for one in needs]
    if key.variant is not None:
        payload = {"variant": key.variant.value, **payload}
    return WorkItem(
        key=str(key),
        kind=key.kind.value,
        payload=payload,
        needs=before,
        state=ItemState.BLOCKED if before else ItemState.QUEUED,
        progress_total=total,
    )
