"""How a dataset is refused: with a code, a message, and every fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class DataFault:
    """One thing wrong with a dataset.

    Attributes:
        code: stable, for programs.
        message: what is wrong.
        hint: what to do about it.
    """

    code: str
    message: str
    hint: str | None = None


class DatasetRejectedError(ValueError):
    """The file cannot be used; `faults` lists everything that is wrong with it."""

    def __init__(self, faults: Sequence[DataFault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = list(faults)

    def to_json(self) -> dict[str, Any]:
        """Return the rejection as the command line prints it."""
        first = self.faults[0]
        rest = len(self.faults) - 1
        message = first.message if rest == 0 else f"{first.message} (and {rest} more)"
        errors = [{key: value for key, value in asdict(f).items() if value is not None} for f in self.faults]
        return {"error": {"code": first.code, "message": message, "errors": errors}}


def reject(code: str, message: str, hint: str | None = None) -> DatasetRejectedError:
    """Return the rejection for a single fault."""
    return DatasetRejectedError([DataFault(code, message, hint)])
