"""Accounts of projects and jobs, by which workers are shared

Revision: 0016, after 0015.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_COLUMNS = {
    "projects": {"begun_s": "0", "jobs_clock_s": "0"},
    "jobs": {"sample_s": "0.0001", "estimated_s": "0", "served_s": "0"},
}


def upgrade() -> None:
    for table, columns in _COLUMNS.items():
        for name, default in columns.items():
            op.add_column(table, sa.Column(name, sa.Double(), server_default=default, nullable=False))


def downgrade() -> None:
    for table, columns in _COLUMNS.items():
        with op.batch_alter_table(table) as batch:
            for name in columns:
                batch.drop_column(name)
