"""Projects, keys and sessions; every resource belongs to a project

Revision: 0013, after 0012.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
_OWNED = ("models", "datasets", "jobs", "rpu_configs", "webhooks")
_IDENTITY = {"models": "sha256", "datasets": "identity"}
_INDEXES = {
    "models": ("sha256", "blob_key"),
    "datasets": ("sha256", "blob_key"),
}
_IN_ORDER = {
    "jobs": (("project", "id"), ("project", "state", "id"), ("project", "created_at", "id")),
    "rpu_configs": (("project", "id"),),
    "webhooks": (("project", "id"),),
}


def upgrade() -> None:
    projects = op.create_table(
        "projects",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("limits", _JSON, nullable=True),
        sa.Column("share", sa.Double(), server_default="1", nullable=False),
        sa.Column("served_s", sa.Double(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_projects")),
    )
    now = sa.func.current_timestamp()
    op.execute(projects.insert().values(name="default", created_at=now))
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("scopes", _JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name=op.f("fk_api_keys_project_projects")),
    )
    op.create_index("ix_api_keys_project", "api_keys", ["project"])
    op.create_table(
        "key_secrets",
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("key_id", sa.String(length=36), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_key_secrets")),
        sa.ForeignKeyConstraint(
            ["key_id"], ["api_keys.id"], name=op.f("fk_key_secrets_key_id_api_keys"), ondelete="CASCADE"
        ),
    )
    op.create_index("ix_key_secrets_key_id", "key_secrets", ["key_id"])
    op.create_index("ix_key_secrets_expires_at", "key_secrets", ["expires_at"])
    op.drop_index("ix_jobs_created_at_id", "jobs")
    for table in _OWNED:
        with op.batch_alter_table(table) as batch:
            _own(batch, table)
            if table in _IDENTITY:
                batch.drop_constraint(f"uq_{table}_{_IDENTITY[table]}", type_="unique")
        if table in _IDENTITY:
            column = _IDENTITY[table]
            op.create_index(f"uq_{table}_project_{column}", table, ["project", column], unique=True)
        for column in _INDEXES.get(table, ()):
            op.create_index(f"ix_{table}_{column}", table, [column])
        for columns in _IN_ORDER.get(table, ()):
            op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
    with op.batch_alter_table("idempotency_keys") as batch:
        _own(batch, "idempotency_keys")
        batch.drop_constraint("pk_idempotency_keys", type_="primary")
        batch.create_primary_key("pk_idempotency_keys", ["project", "key"])


def _own(batch: object, table: str) -> None:
    batch.add_column(sa.Column("project", sa.String(64), server_default="default", nullable=False))
    batch.create_foreign_key(f"fk_{table}_project_projects", "projects", ["project"], ["name"])


def downgrade() -> None:
    """Go back, where all resources are of one project: names of models are unique again."""
    with op.batch_alter_table("idempotency_keys") as batch:
        batch.drop_constraint("pk_idempotency_keys", type_="primary")
        batch.create_primary_key("pk_idempotency_keys", ["key"])
        batch.drop_constraint("fk_idempotency_keys_project_projects", type_="foreignkey")
        batch.drop_column("project")
    for table in reversed(_OWNED):
        for columns in _IN_ORDER.get(table, ()):
            op.drop_index(f"ix_{table}_{'_'.join(columns)}", table)
        for column in _INDEXES.get(table, ()):
            op.drop_index(f"ix_{table}_{column}", table)
        if table in _IDENTITY:
            op.drop_index(f"uq_{table}_project_{_IDENTITY[table]}", table)
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(f"fk_{table}_project_projects", type_="foreignkey")
            batch.drop_column("project")
            if table in _IDENTITY:
                batch.create_unique_constraint(f"uq_{table}_{_IDENTITY[table]}", [_IDENTITY[table]])
    op.create_index("ix_jobs_created_at_id", "jobs", ["created_at", "id"])
    op.drop_table("key_secrets")
    op.drop_table("api_keys")
    op.drop_table("projects")
