from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from pyarrow import parquet

from app.results import statistics, tabular
from app.results.schemas import CellView, PointView
from simulator.config.tasks import Task
from tests.unit.app.results.test_statistics import Row, cells, table


def series() -> list[dict[str, Any]]:
    return statistics.series(Task.CLASSIFICATION, table(cells([90]) + cells([80, 90], "hwa")))


def to_csv(columns: Any, rows: Any) -> bytes:
    return b"".join(tabular.csv_chunks(columns, [tabular.block_of(columns, rows)]))


def to_parquet(columns: Any, rows: Any, *, about: dict[str, str]) -> bytes:
    return b"".join(tabular.parquet_chunks(columns, [tabular.block_of(columns, rows)], about=about))


def read_csv(data: bytes, columns: tuple[tabular.Column, ...]) -> list[dict[str, Any]]:
    kinds = {"text": str, "integer": int, "real": float}
    return [
        {
            column.name: kinds[column.kind](row[column.name]) if row[column.name] else None
            for column in columns
        }
        for row in csv.DictReader(io.StringIO(data.decode(), newline=""))
    ]


def read_parquet(data: bytes) -> list[dict[str, Any]]:
    return parquet.read_table(io.BytesIO(data)).to_pylist()


def test_points_are_the_same_in_every_form() -> None:
    columns = tabular.POINT_COLUMNS
    expected = [{column.name: row[column.name] for column in columns} for row in tabular.point_rows(series())]
    assert [(row["variant"], row["repeats"], row["std"] is None) for row in expected] == [
        ("direct", 1, True),
        ("hwa", 2, False),
    ]
    assert read_csv(to_csv(columns, tabular.point_rows(series())), columns) == expected
    assert read_parquet(to_parquet(columns, tabular.point_rows(series()), about={})) == expected


def test_cells_are_the_same_in_every_form() -> None:
    columns = tabular.CELL_COLUMNS
    expected = [
        {column.name: getattr(row, column.name) for column in columns}
        for row in (Row("direct", 0, 3600.0, 7, 10, None), Row("hwa", 1, 1e-3, None, 10, 1 / 3, 5.0))
    ]
    assert read_csv(to_csv(columns, expected), columns) == expected
    assert read_parquet(to_parquet(columns, expected, about={})) == expected


def test_many_cells_in_pieces_are_the_cells() -> None:
    rows = [
        Row(variant, n, t, None if n == 3 else n, 10, None if n == 2 else 1 / (n + 1), None, None, 5.0)
        for variant in ("direct", "hwa")
        for t in (0.0, 3600.0)
        for n in range(7)
    ]
    expected = [{column.name: getattr(row, column.name) for column in tabular.CELL_COLUMNS} for row in rows]
    blocks = list(table(rows[::-1]).blocks(size=5))
    assert len(blocks) > 2
    assert json.loads(b"".join(tabular.json_chunks(tabular.CELL_COLUMNS, blocks))) == expected
    assert (
        read_csv(b"".join(tabular.csv_chunks(tabular.CELL_COLUMNS, blocks)), tabular.CELL_COLUMNS) == expected
    )
    assert read_parquet(b"".join(tabular.parquet_chunks(tabular.CELL_COLUMNS, blocks, about={}))) == expected
    assert json.loads(b"".join(tabular.json_chunks(tabular.CELL_COLUMNS, []))) == []


@pytest.mark.parametrize(
    ("columns", "view", "besides"),
    [
        (tabular.POINT_COLUMNS + tabular.TEST_SET_COLUMNS, PointView, {"variant"}),
        (tabular.CELL_COLUMNS, CellView, set()),
    ],
    ids=["points", "cells"],
)
def test_the_columns_are_the_fields_of_the_json(columns: Any, view: Any, besides: set[str]) -> None:
    names = {column.name.removesuffix("_low").removesuffix("_high") for column in columns}
    assert names == set(view.model_fields) | besides


@pytest.mark.parametrize("columns", [tabular.POINT_COLUMNS, tabular.CELL_COLUMNS], ids=["points", "cells"])
def test_a_table_without_rows_has_its_columns_and_types(columns: tuple[tabular.Column, ...]) -> None:
    types = {"text": "string", "integer": "int64", "real": "double", "boolean": "bool"}
    table = parquet.read_table(io.BytesIO(to_parquet(columns, [], about={})))
    assert [(field.name, str(field.type)) for field in table.schema] == [
        (column.name, types[column.kind]) for column in columns
    ]
    assert to_csv(columns, []).decode().split("\r\n") == [",".join(c.name for c in columns), ""]


def test_a_parquet_file_says_what_it_is_of() -> None:
    data = to_parquet(tabular.POINT_COLUMNS, [], about={"job": "a", "metric": "accuracy"})
    schema = parquet.read_schema(io.BytesIO(data))
    assert schema.metadata[b"job"] == b"a"
    assert schema.field("t_inference").metadata == {b"description": b"s after programming"}


def test_no_text_of_a_client_becomes_a_formula_and_numbers_stay_numbers() -> None:
    columns = (tabular.Column("layer", "text", "its name"), tabular.Column("loss", "real", "lost"))
    texts = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\tx", "conv1", None]
    rows = [{"layer": text, "loss": -0.5} for text in texts]
    table = list(csv.reader(io.StringIO(to_csv(columns, rows).decode())))[1:]
    assert [row[0] for row in table] == [
        '\'=HYPERLINK("http://x")', "'+1", "'-1", "'@SUM(A1)", "'\tx", "conv1", ""
    ]  # fmt: skip
    assert {row[1] for row in table} == {"-0.5"}
