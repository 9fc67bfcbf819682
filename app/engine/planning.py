"""From a job's specification to its work items: what must happen, in which order, and how much it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.db.tables import WorkItem
from app.engine.states import ItemState

TRAINED = ("hwa", "control")
ANALOG = ("direct", "hwa", "control")
# Of one variant: enough to keep several workers busy, few enough that starting them is no matter.
MOST_SHARDS = 16


@dataclass(frozen=True)
class Ranges:
    """Whether some layer has an input range, and whether training learns it."""

    enabled: bool = False
    learned: bool = False

    def calibrated_after(self, variant: str) -> bool:
        """Tell whether the variant's ranges are calibrated once its weights are final."""
        return self.enabled and not (variant == "hwa" and self.learned)


@dataclass(frozen=True)
class Sizes:
    """Samples that the job works with, after its own limits."""

    train: int
    test: int


def plan(
    spec: dict[str, Any], sizes: Sizes, ranges: Ranges, *, verified: bool, repeats_per_shard: int
) -> list[WorkItem]:
    """Return the job's work items.

    Args:
        spec: the stored specification, defaults filled in.
        sizes: samples of an epoch and of a pass over the test set.
        ranges: what the configuration says of input ranges.
        verified: the model's import was verified before, so no `verify` item is needed.
        repeats_per_shard: at least so many chip instances in one evaluation item; the numbers do not depend
            on it.
    """
    variants = spec["evaluate"]["variants"]
    trained = [variant for variant in TRAINED if variant in variants]
    repeats = spec["evaluate"]["repeats"]
    times = len(spec["evaluate"]["t_inference"])
    items: list[WorkItem] = []
    first: list[str] = []
    if not verified:
        items.append(_item("verify", "verify", {}, []))
        first = ["verify"]
    for variant in trained:
        total = spec["finetune"]["epochs"] * sizes.train
        items.append(_item(f"finetune:{variant}", "finetune", {"variant": variant}, first, total))
    for variant in ("digital", *trained):
        needs = [f"finetune:{variant}"] if variant in trained else first
        items.append(_item(f"baseline:{variant}", "baseline", {"variant": variant}, needs, sizes.test))
    described = described_variant(variants)
    for variant in ANALOG:
        if variant not in variants:
            continue
        needs = [f"finetune:{variant}"] if variant in trained else first
        if ranges.calibrated_after(variant):
            items.append(_item(f"calibrate:{variant}", "calibrate", {"variant": variant}, needs))
            needs = [f"calibrate:{variant}"]
        shard = max(repeats_per_shard, math.ceil(repeats / MOST_SHARDS))
        for start in range(0, repeats, shard):
            end = min(repeats, start + shard)
            payload: dict[str, Any] = {"variant": variant, "repeats": [start, end]}
            total = (end - start) * times * sizes.test
            items.append(_item(f"evaluate:{variant}:{start}", "evaluate", payload, needs, total))
        if variant == described:
            items.append(_item(f"describe:{variant}", "describe", {"variant": variant}, needs))
    return items


def described_variant(variants: Sequence[str]) -> str | None:
    """Return the analog variant whose tiles the job's files describe: the fine-tuned one before others."""
    return next((variant for variant in ("hwa", "direct", "control") if variant in variants), None)


def cells(spec: dict[str, Any]) -> int:
    """Return how many cells the specification asks for."""
    evaluate = spec["evaluate"]
    analog = sum(variant in ANALOG for variant in evaluate["variants"])
    return analog * int(evaluate["repeats"]) * len(evaluate["t_inference"])


def _item(key: str, kind: str, payload: dict[str, Any], needs: list[str], total: int = 0) -> WorkItem:
    state = ItemState.BLOCKED if needs else ItemState.QUEUED
    return WorkItem(key=key, kind=kind, payload=payload, needs=needs, state=state, progress_total=total)
