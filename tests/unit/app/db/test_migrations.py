from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from app.db.migrate import alembic_config, migrate
from app.db.schema import REVISION
from app.db.session import Database
from app.db.tables import Cell

ROWS = [
    (
        "INSERT INTO models (id, name, sha256, size_bytes, blob_key, report, verification_state, created_at)"
        " VALUES ('m', 'm', 's', 1, 'k', '{}', 'passed', '2026-01-01 00:00:00')"
    ),
    (
        "INSERT INTO jobs (id, tags, state, version, spec, effective_config, config_hash, execution, seed, priority,"
        " model_id, dataset_ref, progress_done, progress_total, attempt, warnings, created_at)"
        " VALUES ('j', '[]', 'queued', 1, '{}', '{}', 'h', '{}', 1, 0, 'm', 'builtin:digits', 0, 0, 1, '[]',"
        " '2026-01-01 00:00:00')"
    ),
    (
        "INSERT INTO cells (job_id, variant, repeat, t_inference, correct, total, loss_sum)"
        " VALUES ('j', 'direct', 0, 1.0, 9, 10, 0.30000000000000004)"
    ),
]


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'old.db'}"
    url = request.getfixturevalue("postgres_url")
    database = Database(url)
    with database.transaction() as session:
        session.execute(sa.text("DROP SCHEMA public CASCADE"))
        session.execute(sa.text("CREATE SCHEMA public"))
    database.dispose()
    return str(url)


def test_rows_of_the_first_schema_survive_every_migration(empty_url: str) -> None:
    command.upgrade(alembic_config(empty_url), "0001")
    database = Database(empty_url)
    with database.transaction() as session:
        for row in ROWS:
            session.execute(sa.text(row))
    migrate(empty_url)
    with database.reading() as session:
        [cell] = session.scalars(sa.select(Cell)).all()
    assert cell.counts == {"correct": 9, "total": 10, "loss_sum": 0.1 + 0.2}
    assert (cell.metric, cell.loss) == (0.9, (0.1 + 0.2) / 10)
    database.dispose()


def test_the_migrations_make_what_the_tables_say(database_url: str) -> None:
    command.check(alembic_config(database_url))


def test_the_code_names_the_newest_migration(database_url: str) -> None:
    scripts = ScriptDirectory.from_config(alembic_config(database_url))
    assert scripts.get_current_head() == REVISION


def test_migrating_again_changes_nothing(database_url: str) -> None:
    migrate(database_url)
