"""Counts of further tasks

Revision: 0008, after 0007.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLES = ("cells", "baselines")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("correct_top5", sa.BigInteger(), nullable=True))
        op.add_column(table, sa.Column("target_spread", sa.Double(), nullable=True))


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_column(table, "target_spread")
        op.drop_column(table, "correct_top5")
