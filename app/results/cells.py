"""A job's cells as columns: hundreds of thousands of them are read, summed and written in a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json
from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session

from app.db.tables import Cell
from simulator.config.tasks import COUNTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]

COLUMNS: Final = ("variant", "repeat", "t_inference", *(count.name for count in COUNTS))
_INTEGERS: Final = frozenset({"repeat", *(count.name for count in COUNTS if count.kind == "integer")})
_AT_ONCE: Final = 10_000


@dataclass(frozen=True)
class Group:
    """The cells of one variant at one time: a range of rows, in the order of the repeats."""

    variant: str
    t_inference: float
    start: int
    stop: int

    @property
    def rows(self) -> slice:
        """The rows."""
        return slice(self.start, self.stop)

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Cells:
    """Cells in the order of variant, time and repeat, whatever order they came in.

    Attributes:
        variants: names, which `variant` numbers.
        variant: `[cells]`, a number each.
        columns: the other columns, `[cells]` each; an absent value is NaN.
        groups: what belongs to one variant and time.
    """

    variants: tuple[str, ...]
    variant: NDArray[np.int64]
    columns: dict[str, Reals]
    groups: tuple[Group, ...]

    def __len__(self) -> int:
        return len(self.variant)

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]]) -> Cells:
        """Return rows of variant, repeat, time and counts as a table."""
        return _ordered(_stacked([_block(list(rows))]))

    @classmethod
    def read(cls, session: Session, job_id: str) -> Cells:
        """Return a job's cells."""
        counts = cast(Cell.counts, Text)  # thousands are parsed in one call, in a tenth of the time
        query = select(Cell.variant, Cell.repeat, Cell.t_inference, counts).where(Cell.job_id == job_id)
        found = session.connection().execute(query.execution_options(yield_per=_AT_ONCE))
        return _ordered(_stacked([_block(rows, as_text=True) for rows in found.partitions()]))

    def blocks(self, size: int = _AT_ONCE) -> Iterator[list[list[Any]]]:
        """Yield the columns in the order of `COLUMNS`, so many rows at a time; absent values are None."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            names = [self.variants[number] for number in self.variant[rows].tolist()]
            yield [names, *(_values(name, self.columns[name][rows]) for name in COLUMNS[1:])]


def _block(rows: Sequence[Sequence[Any]], *, as_text: bool = False) -> tuple[list[str], dict[str, Reals]]:
    import numpy as np

    variants, repeats, times, counts = zip(*rows, strict=True) if rows else ((), (), (), ())
    if as_text:
        counts = from_json(f"[{','.join(counts)}]")
    columns = {"repeat": np.array(repeats, dtype=float), "t_inference": np.array(times, dtype=float)}
    for count in COUNTS:
        columns[count.name] = np.array([one.get(count.name) for one in counts], dtype=float)
    return list(variants), columns


def _stacked(blocks: Sequence[tuple[list[str], dict[str, Reals]]]) -> tuple[list[str], dict[str, Reals]]:
    import numpy as np

    blocks = blocks or [_block([])]
    columns = {name: np.concatenate([columns[name] for _, columns in blocks]) for name in COLUMNS[1:]}
    return [name for names, _ in blocks for name in names], columns


def _ordered(table: tuple[list[str], dict[str, Reals]]) -> Cells:
    import numpy as np

    names, columns = table
    variants = sorted(set(names))
    numbers = {name: number for number, name in enumerate(variants)}
    variant = np.fromiter((numbers[name] for name in names), dtype=np.int64, count=len(names))
    order = np.lexsort((columns["repeat"], columns["t_inference"], variant))
    variant = variant[order]
    columns = {name: values[order] for name, values in columns.items()}
    times = columns["t_inference"]
    changes = np.flatnonzero((np.diff(variant) != 0) | (np.diff(times) != 0)) + 1
    edges = [0, *changes.tolist(), len(names)] if names else []
    groups = tuple(
        Group(variants[variant[start]], float(times[start]), start, stop) for start, stop in pairwise(edges)
    )
    return Cells(tuple(variants), variant, columns, groups)


def _values(name: str, column: Reals) -> list[Any]:
    import numpy as np

    absent = np.isnan(column)
    values: list[Any] = (
        np.where(absent, 0, column).astype(np.int64).tolist() if name in _INTEGERS else column.tolist()
    )
    for row in np.flatnonzero(absent).tolist():
        values[row] = None
    return values
