"""A version of the results, the time of the last progress, and indexes in the order of the lists

Revision: 0010, after 0009.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_INDEXES = ("state", "config_hash", "model_id", "dataset_ref", "created_at")
_REPLACED = ("state", "config_hash", "model_id")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("results_version", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("progressed_at", sa.DateTime(timezone=True), nullable=True))
    for column in _REPLACED:
        op.drop_index(f"ix_jobs_{column}", "jobs")
    for column in _INDEXES:
        op.create_index(f"ix_jobs_{column}_id", "jobs", [column, "id"])


def downgrade() -> None:
    for column in reversed(_INDEXES):
        op.drop_index(f"ix_jobs_{column}_id", "jobs")
    for column in reversed(_REPLACED):
        op.create_index(f"ix_jobs_{column}", "jobs", [column])
    op.drop_column("jobs", "progressed_at")
    op.drop_column("jobs", "results_version")
