"""From a job's specification to its work items: what must happen, in which order, and how much it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class Waves:
    """How the chips of a job are evaluated, the same in all of its waves.

    Attributes:
        test_samples: of a pass over the test set.
        repeats_per_shard: smallest number of chips in one item.
        fresh: nothing is taken over from earlier jobs.
    """

    test_samples: int
    repeats_per_shard: int
    fresh: bool = False

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Waves:
        """Return what the payload of an item says."""
        return cls(**payload["waves"])


def plan(
    spec: JobSpec,
    sizes: Sizes,
    ranges: Ranges,
    *,
    verified: bool,
    repeats_per_shard: int,
    chips: int | None = None,
    fresh: bool = False,
) -> list[WorkItem]:
    """Return the job's work items.

    Args:
        spec: the job's.
        sizes: samples of an epoch and of a pass over the test set.
        ranges: what the configuration says of input ranges.
        verified: the model's import was verified before, so no `verify` item is needed.
        repeats_per_shard: smallest number of chips in one evaluation item; no number depends on it.
        chips: how many there are; None: those that the job has whatever it finds.
        fresh: further waves of chips take nothing over from earlier jobs.
    """
    repeats = range(spec.evaluate.fewest_repeats if chips is None else chips)
    how = Waves(sizes.test, repeats_per_shard, fresh)
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
        items += shards(spec, variant, repeats, how, needs)
        if variant is spec.described:
            items.append(_item(ItemKey(ItemKind.DESCRIBE, variant), needs))
    return items


def shards(
    spec: JobSpec, variant: Variant, chips: range, how: Waves, needs: Iterable[ItemKey]
) -> list[WorkItem]:
    """Return the items that evaluate some chips of a variant; those of jobs in waves say how to go on."""
    before, times = list(needs), len(spec.evaluate.t_inference)
    payload = {} if spec.evaluate.until is None else {"waves": asdict(how)}
    shard = max(how.repeats_per_shard, math.ceil(len(chips) / MOST_SHARDS))
    ranges = [(start, min(start + shard, chips.stop)) for start in range(chips.start, chips.stop, shard)]
    return [
        _item(
            ItemKey(ItemKind.EVALUATE, variant, start),
            before,
            total=(end - start) * times * how.test_samples,
            repeats=[start, end],
            **payload,
        )
        for start, end in ranges
    ]


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
