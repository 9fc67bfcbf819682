"""Where a job comes from, since when an item waits, what version a worker runs: for logs, metrics and traces

Revision: 0012, after 0011.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("origin", _JSON, nullable=True))
    op.add_column("work_items", sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("workers", sa.Column("version", sa.Text(), nullable=True))
    # Since when older items wait is not known; from now on at the latest.
    op.execute("UPDATE work_items SET queued_at = CURRENT_TIMESTAMP WHERE state = 'queued'")


def downgrade() -> None:
    for table, column in (("workers", "version"), ("work_items", "queued_at"), ("jobs", "origin")):
        with op.batch_alter_table(table) as batch:
            batch.drop_column(column)
