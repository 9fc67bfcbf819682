"""Blobs shared by jobs, what items require of workers, attempts in a row, signs of life

Revision: 0009, after 0008.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column(
        "work_items", sa.Column("requires", sa.String(32), nullable=False, server_default="auto/compiled")
    )
    op.add_column(
        "work_items", sa.Column("barren_attempts", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("work_items", sa.Column("heard_at_s", sa.Double(), nullable=False, server_default="0"))
    op.add_column("workers", sa.Column("able", _JSON, nullable=True))
    op.add_column("workers", sa.Column("idle_reason", sa.Text(), nullable=True))
    op.create_table(
        "job_blobs",
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("role", sa.String(192), nullable=False),
        sa.Column("blob_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_blobs_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "role", name=op.f("pk_job_blobs")),
    )
    op.create_index(op.f("ix_job_blobs_blob_key"), "job_blobs", ["blob_key"])
    op.create_table(
        "service_facts",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_service_facts")),
    )
    _note_uses()


def _note_uses() -> None:
    """Note which blobs the jobs that are there use."""
    connection = op.get_bind()
    uses = [
        {"job_id": job_id, "role": f"artifact:{name}", "blob_key": key}
        for job_id, name, key in connection.execute(
            sa.text("SELECT job_id, name, blob_key FROM artifacts")
        )
    ]
    rows = connection.execute(
        sa.text("SELECT job_id, key, checkpoint FROM work_items WHERE checkpoint IS NOT NULL")
    )
    for job_id, key, stored in rows:
        checkpoint = json.loads(stored) if isinstance(stored, str) else stored
        uses.append({"job_id": job_id, "role": f"checkpoint:{key}", "blob_key": checkpoint["blob_key"]})
    if uses:
        connection.execute(
            sa.text("INSERT INTO job_blobs (job_id, role, blob_key) VALUES (:job_id, :role, :blob_key)"), uses
        )


def downgrade() -> None:
    op.drop_table("service_facts")
    op.drop_table("job_blobs")
    for column in ("idle_reason", "able"):
        op.drop_column("workers", column)
    for column in ("heard_at_s", "barren_attempts", "requires"):
        op.drop_column("work_items", column)
