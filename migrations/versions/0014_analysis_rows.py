"""What analyses found, beside the cells of jobs

Revision: 0014, after 0013.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "analysis_rows",
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("analysis", sa.String(32), nullable=False),
        sa.Column("setting", sa.String(64), nullable=False),
        sa.Column("variant", sa.String(16), nullable=False),
        sa.Column("repeat", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("t_inference", sa.Double(), nullable=False),
        sa.Column("coordinates", _JSON, nullable=False),
        sa.Column("counts", _JSON, nullable=False),
        sa.Column("metric", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_analysis_rows_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "job_id", "analysis", "setting", "variant", "repeat", "t_inference",
            name=op.f("pk_analysis_rows"),
        ),
    )


def downgrade() -> None:
    op.drop_table("analysis_rows")
