"""How a dataset is refused: with a code, a message, and every fault."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.intake import Fault, IntakeError


class DatasetRejectedError(IntakeError):
    """The file cannot be used; `faults` lists everything that is wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        first, rest = faults[0], len(faults) - 1
        message = first.message if rest == 0 else f"{first.message} (and {rest} more)"
        super().__init__(first.code, message, faults)


def reject(code: str, message: str, hint: str | None = None) -> DatasetRejectedError:
    """Return the rejection for a single fault."""
    return DatasetRejectedError([Fault(code, message, hint)])
