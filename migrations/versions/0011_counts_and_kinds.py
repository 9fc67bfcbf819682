"""Counts of cells and baselines as one JSON column beside metric and loss; kinds of jobs

Revision: 0011, after 0010.
"""

from __future__ import annotations

import math

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_INTEGERS = ("correct", "total", "correct_top5")
_REALS = ("loss_sum", "abs_error_sum", "target_spread")
_TABLES = {"cells": ("job_id", "variant", "repeat", "t_inference"), "baselines": ("job_id", "variant")}
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_AT_ONCE = 10_000
_LARGEST_EXPONENT = 700.0


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("kind", sa.String(32), nullable=False, server_default=sa.text("'inference'"))
    )
    tasks = {row.id: row.spec.get("task") for row in op.get_bind().execute(sa.select(_jobs()))}
    for table, key in _TABLES.items():
        op.add_column(table, sa.Column("counts", _JSON, nullable=True))
        op.add_column(table, sa.Column("metric", sa.Double(), nullable=True))
        op.add_column(table, sa.Column("loss", sa.Double(), nullable=True))
        _rewrite(table, key, lambda row: _measured(tasks[row.job_id], row))
        with op.batch_alter_table(table) as batch:
            batch.alter_column("counts", existing_type=_JSON, nullable=False)
            for column in (*_INTEGERS, *_REALS):
                batch.drop_column(column)


def downgrade() -> None:
    for table, key in _TABLES.items():
        with op.batch_alter_table(table) as batch:
            for column in _INTEGERS:
                batch.add_column(sa.Column(column, sa.BigInteger(), nullable=True))
            for column in _REALS:
                batch.add_column(sa.Column(column, sa.Double(), nullable=True))
        _rewrite(table, key, lambda row: {name: row.counts.get(name) for name in (*_INTEGERS, *_REALS)})
        with op.batch_alter_table(table) as batch:
            batch.alter_column("total", existing_type=sa.BigInteger(), nullable=False)
            for column in ("counts", "metric", "loss"):
                batch.drop_column(column)
    with op.batch_alter_table("jobs") as batch:
        batch.drop_column("kind")


def _jobs():
    return sa.table("jobs", sa.column("id"), sa.column("spec", _JSON))


def _rewrite(table, key, values):
    """Set columns of every row to what a function makes of the row."""
    names = [*key, *_INTEGERS, *_REALS, "metric", "loss"]
    rows = sa.table(table, sa.column("counts", _JSON), *(sa.column(name) for name in names))
    found = op.get_bind().execute(sa.select(rows)).partitions(_AT_ONCE)
    changed = [
        {f"at_{name}": getattr(row, name) for name in key} | values(row) for part in found for row in part
    ]
    if not changed:
        return
    where = [rows.c[name] == sa.bindparam(f"at_{name}") for name in key]
    written = [name for name in changed[0] if not name.startswith("at_")]
    statement = rows.update().where(*where).values({name: sa.bindparam(name) for name in written})
    for start in range(0, len(changed), _AT_ONCE):
        op.get_bind().execute(statement, changed[start : start + _AT_ONCE])


def _measured(task, row):
    """Return what a row has counted, and the metric and the loss that follow, as of this revision."""
    counts = {name: getattr(row, name) for name in (*_INTEGERS, *_REALS)}
    counts = {name: value for name, value in counts.items() if value is not None}
    loss = row.loss_sum / row.total if row.loss_sum is not None and row.total else None
    metric = row.correct / row.total if row.correct is not None and row.total else None
    if task == "regression":
        metric = loss
    if task == "next_token":
        metric = None if loss is None or loss >= _LARGEST_EXPONENT else math.exp(loss)
    return {"counts": counts, "metric": metric, "loss": loss}
