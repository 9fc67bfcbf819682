"""The names of a job's work items, and the kinds of item that there are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from simulator.config import Variant


class ItemKind(StrEnum):
    """What a work item does; `worker.items` has a handler for each."""

    VERIFY = "verify"
    CALIBRATE = "calibrate"
    FINETUNE = "finetune"
    BASELINE = "baseline"
    EVALUATE = "evaluate"
    DESCRIBE = "describe"
    ANALYSE = "analyse"


@dataclass(frozen=True)
class ItemKey:
    """Names a work item within its job.

    Attributes:
        kind: what it does.
        variant: of which network; None where it is the same for all.
        start: the first chip of an evaluation, or the number of an item of an analysis.
        analysis: the type of an analysis.
    """

    kind: ItemKind
    variant: Variant | None = None
    start: int | None = None
    analysis: str | None = None

    def __str__(self) -> str:
        """Return the key as the database has it, such as `evaluate:hwa:0`."""
        parts = (self.kind, self.analysis, self.variant, self.start)
        return ":".join(str(part) for part in parts if part is not None)
