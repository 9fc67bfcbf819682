"""Results as tables: one set of columns, written as CSV or Parquet, with the names and types of the JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column; absent values are empty in CSV and null in Parquet.

    Attributes:
        name: as in the JSON; an interval `x` there is `x_low` and `x_high` here.
        kind: of its values.
        meaning: with the unit.
    """

    name: str
    kind: Literal["text", "integer", "real"]
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
    Column("p05", "real", "5 % quantile over chips"),
    Column("p95", "real", "95 % quantile over chips"),
    Column("min", "real", "lowest value of a chip"),
    Column("max", "real", "highest value of a chip"),
    Column("loss_mean", "real", "mean loss per sample, position or label"),
    Column("mae_mean", "real", "mean absolute error per sample, of a regression"),
    Column("r2_mean", "real", "share of the targets' variance that is explained, of a regression"),
    Column("top5_mean", "real", "share of right classes among the five likeliest"),
)
TEST_SET_COLUMNS: tuple[Column, ...] = (
    Column("test_set_ci95_low", "real", "Wilson's interval for the finite test set, lower end"),
    Column("test_set_ci95_high", "real", "Wilson's interval for the finite test set, upper end"),
)
CELL_COLUMNS: tuple[Column, ...] = (
    _VARIANT,
    Column("repeat", "integer", "number of the chip"),
    _TIME,
    Column("correct", "integer", "right answers; absent for a regression"),
    Column("total", "integer", "samples; of other tasks positions, or labels of all samples"),
    Column("loss_sum", "real", "sum of the loss over samples; absent if it is not finite"),
    Column("abs_error_sum", "real", "sum of absolute errors, of a regression"),
    Column("correct_top5", "integer", "right classes among the five likeliest"),
    Column("target_spread", "real", "sum of the targets' squared deviations, of a regression"),
)


def point_rows(all_series: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield the points of all series, intervals as two values."""
    for series in all_series:
        for point in series["points"]:
            row = {"variant": series["variant"], **point}
            for name in ("ci95", "test_set_ci95"):
                row[f"{name}_low"], row[f"{name}_high"] = row.pop(name, None) or (None, None)
            yield row


def to_csv(columns: Sequence[Column], rows: Iterable[Row]) -> bytes:
    """Return the rows as CSV (RFC 4180) with a header."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([column.name for column in columns])
    writer.writerows([row[column.name] for column in columns] for row in rows)
    return buffer.getvalue().encode()


def to_parquet(columns: Sequence[Column], rows: Iterable[Row], *, about: Mapping[str, str]) -> bytes:
    """Return the rows as a Parquet file.

    Args:
        columns: their meanings become the fields' `description`.
        rows: the values.
        about: what the table is of, for the file's metadata.
    """
    import pyarrow as pa  # here, so that the API starts without it
    from pyarrow import parquet

    types = {"text": pa.string(), "integer": pa.int64(), "real": pa.float64()}
    fields = [
        pa.field(column.name, types[column.kind], metadata={"description": column.meaning})
        for column in columns
    ]
    table = pa.Table.from_pylist(list(rows), schema=pa.schema(fields, metadata=dict(about)))
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
