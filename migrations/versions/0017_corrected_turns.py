"""What an item was charged, to be corrected by the seconds that it took; an index in the order of turns

Revision: 0017, after 0016.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_INDEX = "ix_jobs_project_state_turn"


def upgrade() -> None:
    op.add_column("work_items", sa.Column("charged_s", sa.Double(), nullable=True))
    op.create_index(_INDEX, "jobs", ["project", "state", sa.text("priority DESC"), "served_s", "id"])


def downgrade() -> None:
    op.drop_index(_INDEX, table_name="jobs")
    with op.batch_alter_table("work_items") as batch:
        batch.drop_column("charged_s")
