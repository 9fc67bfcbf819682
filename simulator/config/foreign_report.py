"""What reading a configuration of another program says about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import ValidationError

from simulator.config.faults import Fault
from simulator.config.rpu import InferenceRPUConfig


class Dialect(StrEnum):
    """Whose configuration it is."""

    AIHWKIT = "aihwkit"
    COMPOSER = "composer"


@dataclass(frozen=True)
class Assumption:
    """Something that was assumed, left out, or means something else here.

    Attributes:
        pointer: JSON pointer into the foreign configuration.
        code: a stable name of the kind of assumption.
        message: what was assumed and why.
    """

    pointer: str
    code: str
    message: str


@dataclass(frozen=True)
class Imported:
    """A foreign configuration as ours, and what was assumed on the way."""

    dialect: Dialect
    config: InferenceRPUConfig
    assumed: Sequence[Assumption]


class ImportRefusedError(ValueError):
    """A foreign configuration has faults.

    Attributes:
        faults: those that the reader found.
        error: those that validation found, located in the foreign configuration; None if it found none.
    """

    def __init__(self, faults: Sequence[Fault], error: ValidationError | None = None) -> None:
        self.faults = tuple(faults)
        self.error = error
        count = len(self.faults) + (0 if error is None else error.error_count())
        super().__init__(f"the configuration has {count} fault(s)")
