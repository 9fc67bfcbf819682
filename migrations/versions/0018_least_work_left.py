"""Jobs have their turns by the work that is left of them, and not by the seconds that they were given

Revision: 0018, after 0017.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_OPEN = "state IN ('queued', 'running', 'cancelling')"
_LEFT = "CASE WHEN progress_total > progress_done THEN (progress_total - progress_done) * sample_s ELSE 0 END"


def upgrade() -> None:
    # A column that is renamed stays in its index, and no table is copied.
    op.execute(sa.text("ALTER TABLE jobs RENAME COLUMN served_s TO left_s"))
    op.execute(sa.text(f"UPDATE jobs SET left_s = {_LEFT} WHERE {_OPEN}"))
    op.execute(sa.text("ALTER TABLE projects RENAME COLUMN jobs_clock_s TO passing_s"))
    op.execute(sa.text("UPDATE projects SET passing_s = 0"))


def downgrade() -> None:
    op.execute(sa.text("UPDATE projects SET passing_s = 0"))
    op.execute(sa.text("ALTER TABLE projects RENAME COLUMN passing_s TO jobs_clock_s"))
    op.execute(sa.text(f"UPDATE jobs SET left_s = 0 WHERE {_OPEN}"))
    op.execute(sa.text("ALTER TABLE jobs RENAME COLUMN left_s TO served_s"))
