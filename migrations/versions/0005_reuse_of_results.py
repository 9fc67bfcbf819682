"""Reuse of results: what a job's numbers depend on, and where they were taken from

Revision: 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("extends", sa.String(36), nullable=True))
    op.add_column("jobs", sa.Column("cached_from", _JSON, nullable=False, server_default="[]"))
    op.create_table(
        "job_result_keys",
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("variant", sa.String(16), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_result_keys_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "variant", name=op.f("pk_job_result_keys")),
    )
    op.create_index(op.f("ix_job_result_keys_key"), "job_result_keys", ["key"])


def downgrade() -> None:
    op.drop_table("job_result_keys")
    op.drop_column("jobs", "cached_from")
    op.drop_column("jobs", "extends")
