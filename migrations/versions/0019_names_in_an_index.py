"""A search for a text reads the jobs' names from an index, and not from their wide rows

Revision: 0019, after 0018.
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_project_id_name", "jobs", ["project", "id", "name"])
    op.drop_index("ix_jobs_project_id", "jobs")


def downgrade() -> None:
    op.create_index("ix_jobs_project_id", "jobs", ["project", "id"])
    op.drop_index("ix_jobs_project_id_name", "jobs")
