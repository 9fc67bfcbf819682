"""Results as tables: one set of columns, written as CSV or Parquet, with the names and types of the JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from simulator.config.tasks import BESIDE, COUNTS, QUANTITIES

Row = Mapping[str, Any]
_WORDS = {True: "true", False: "false", None: None}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Column:
    """A column; absent values are empty in CSV and null in Parquet.

    Attributes:
        name: as in the JSON; an interval `x` there is `x_low` and `x_high` here.
        kind: of its values.
        meaning: with the unit.
    """

    name: str
    kind: Literal["text", "integer", "real", "boolean"]
    meaning: str


_VARIANT = Column("variant", "text", "digital, direct, hwa or control")
_TIME = Column("t_inference", "real", "s after programming")
POINT_COLUMNS: tuple[Column, ...] = (
    _VARIANT,
    _TIME,
    Column("repeats", "integer", "chips that were evaluated"),
    Column("mean", "real", "mean of the metric over chips"),
    Column("std", "real", "sample standard deviation over chips"),
    Column("ci95_low", "real", "Student's t interval of the mean over chips, lower end"),
    Column("ci95_high", "real", "Student's t interval of the mean over chips, upper end"),
    Column("ci95_adaptive_low", "real", "interval that waves of chips leave valid, lower end; else empty"),
    Column("ci95_adaptive_high", "real", "interval that waves of chips leave valid, upper end; else empty"),
    Column("goal_reached", "boolean", "whether that interval is as narrow as the job asked for; else empty"),
    Column("p05", "real", "5 % quantile over chips"),
    Column("p95", "real", "95 % quantile over chips"),
    Column("min", "real", "lowest value of a chip"),
    Column("max", "real", "highest value of a chip"),
    *(Column(f"{name}_mean", "real", QUANTITIES[name].meaning) for name in BESIDE),
)
TEST_SET_COLUMNS: tuple[Column, ...] = (
    Column("test_set_ci95_low", "real", "Wilson's interval for the finite test set, lower end"),
    Column("test_set_ci95_high", "real", "Wilson's interval for the finite test set, upper end"),
)
CELL_COLUMNS: tuple[Column, ...] = (
    _VARIANT,
    Column("repeat", "integer", "number of the chip"),
    _TIME,
    *(Column(count.name, count.kind, count.meaning) for count in COUNTS),
)
YIELD_COLUMNS: tuple[Column, ...] = (
    _VARIANT,
    _TIME,
    Column("share", "real", "share of chips that have not become worse than the threshold yet"),
    Column("ci95_low", "real", "Wilson's interval for the number of chips, lower end"),
    Column("ci95_high", "real", "Wilson's interval for the number of chips, upper end"),
    Column("ci95_adaptive_low", "real", "interval that waves of chips leave valid, lower end; else empty"),
    Column("ci95_adaptive_high", "real", "interval that waves of chips leave valid, upper end; else empty"),
)

# With services alone.
AVAILABILITY_COLUMNS: tuple[Column, ...] = (
    Column("available", "real", "share of chips that are good at the time, whatever they were before"),
    Column("available_ci95_low", "real", "Wilson's interval of that share, lower end"),
    Column("available_ci95_high", "real", "Wilson's interval of that share, upper end"),
    Column("available_ci95_adaptive_low", "real", "interval that waves leave valid, lower end; else empty"),
    Column("available_ci95_adaptive_high", "real", "interval that waves leave valid, upper end; else empty"),
)


def point_rows(all_series: Iterable[Mapping[str, Any]], points: str = "points") -> Iterator[Row]:
    """Yield the points of all series, intervals as two values.

    Args:
        all_series: as answers have them.
        points: where a series has them.
    """
    for series in all_series:
        for point in series[points]:
            row = {"variant": series["variant"], **point}
            for name in ("ci95", "ci95_adaptive", "test_set_ci95"):
                row[f"{name}_low"], row[f"{name}_high"] = row.pop(name, None) or (None, None)
            yield row


def share_rows(all_series: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield the shares of chips over time: the yield, and beside it the availability of chips in service.

    Args:
        all_series: of a lifetime, as answers have them.
    """
    names = [column.name.removeprefix("available") for column in AVAILABILITY_COLUMNS]
    for one in all_series:
        rows = point_rows([one], "yield")
        if one["in_service"] is None:
            yield from rows
            continue
        served = point_rows([{"variant": one["variant"], "points": one["in_service"]["availability"]}])
        for row, beside in zip(rows, served, strict=True):
            yield {**row, **{f"available{name}": beside[name[1:] or "share"] for name in names}}


Block = Sequence[Sequence[Any]]  # some rows, as columns; absent values are None


def block_of(columns: Sequence[Column], rows: Iterable[Row]) -> Block:
    """Return rows as one block."""
    found = list(rows)
    return [[row[column.name] for row in found] for column in columns]


def csv_chunks(columns: Sequence[Column], blocks: Iterable[Block]) -> Iterator[bytes]:
    """Yield a CSV file (RFC 4180) with a header, in pieces; spreadsheets find no formula in it."""
    yield _csv([[column.name] for column in columns])
    for block in blocks:
        yield _csv([_written(column, cells) for column, cells in zip(columns, block, strict=True)])


def _written(column: Column, cells: Sequence[Any]) -> Sequence[Any]:
    if column.kind == "text":
        return _harmless(cells)
    return [_WORDS[one] for one in cells] if column.kind == "boolean" else cells


def _harmless(cells: Sequence[Any]) -> list[Any]:
    """Return texts, of which clients choose some, so that none begins like a formula."""
    return [f"'{one}" if isinstance(one, str) and one.startswith(_FORMULA) else one for one in cells]


def _csv(block: Block) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(zip(*block, strict=True))
    return buffer.getvalue().encode()


def json_chunks(columns: Sequence[Column], blocks: Iterable[Block]) -> Iterator[bytes]:
    """Yield a JSON array with an object per row, in pieces; numbers are written as Python writes them."""
    row = "{{" + ",".join(f"{json.dumps(column.name)}:{{}}" for column in columns) + "}}"
    before = "["
    for block in blocks:
        written = [_json(column, values) for column, values in zip(columns, block, strict=True)]
        text = ",".join(map(row.format, *written))
        if text:
            yield (before + text).encode()
            before = ","
    yield b"[]" if before == "[" else b"]"


def _json(column: Column, values: Sequence[Any]) -> Iterable[str]:
    if column.kind == "text":
        known = {value: json.dumps(value) for value in set(values)}
        return [known[value] for value in values]
    if column.kind == "boolean":
        return [_WORDS[value] or "null" for value in values]
    return ["null" if value is None else repr(value) for value in values]


def parquet_chunks(
    columns: Sequence[Column], blocks: Iterable[Block], *, about: Mapping[str, str]
) -> Iterator[bytes]:
    """Yield a Parquet file in pieces, a row group for each block.

    Args:
        columns: their meanings become the fields' `description`.
        blocks: the values.
        about: what the table is of, for the file's metadata.
    """
    import pyarrow as pa  # here, so that the API starts without it
    from pyarrow import parquet

    types = {"text": pa.string(), "integer": pa.int64(), "real": pa.float64(), "boolean": pa.bool_()}
    fields = [
        pa.field(column.name, types[column.kind], metadata={"description": column.meaning})
        for column in columns
    ]
    schema = pa.schema(fields, metadata=dict(about))
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for block in blocks:
            arrays = [pa.array(values, field.type) for values, field in zip(block, fields, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """A file that is only written; what was written since the last time is taken away."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        """Report that it is written."""
        return True

    def write(self, data: Any) -> int:
        """Keep the bytes until they are taken."""
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        """Return how much was written in all."""
        return self._size

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data
