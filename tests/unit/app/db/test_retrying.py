from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from app.db.session import Database, is_transient
from app.db.tables import ServiceFact


def away() -> OperationalError:
    return OperationalError("SELECT 1", {}, Exception("server closed the connection unexpectedly"))


def test_work_is_done_anew_until_the_database_is_back(database: Database) -> None:
    tries = 0

    def work(session):
        nonlocal tries
        tries += 1
        session.add(ServiceFact(name=f"try {tries}", value="x"))
        session.flush()
        if tries < 3:
            raise away()
        return tries

    assert database.retrying(work, for_s=30, what="the test") == 3
    with database.reading() as session:
        assert session.scalars(sa.select(ServiceFact.name)).all() == ["try 3"]


def test_patience_ends(database: Database) -> None:
    def work(_):
        raise away()

    with pytest.raises(OperationalError):
        database.retrying(work, for_s=0.2, what="the test")


def test_a_fault_that_lasts_is_not_tried_again(database: Database) -> None:
    tries = 0

    def work(session):
        nonlocal tries
        tries += 1
        session.execute(sa.text("SELECT * FROM no_such_table"))

    with pytest.raises((OperationalError, ProgrammingError)):
        database.retrying(work, for_s=30, what="the test")
    assert tries == 1


def test_a_connection_that_the_server_ended_is_transient(postgres_url: str) -> None:
    database = Database(postgres_url)
    with (
        database.engine.connect() as killer,
        pytest.raises(OperationalError, match="terminat") as caught,
        database.transaction() as session,
    ):
        pid = session.scalar(sa.text("SELECT pg_backend_pid()"))
        killer.execute(sa.text(f"SELECT pg_terminate_backend({pid})"))
        session.execute(sa.text("SELECT 1"))
    assert is_transient(caught.value)
    database.dispose()


def test_a_lock_that_is_not_had_in_time_is_transient(postgres_url: str) -> None:
    database = Database(postgres_url)
    with database.transaction() as session:
        session.add(ServiceFact(name="a", value="1"))
    with database.transaction() as holder, pytest.raises(OperationalError) as caught:
        holder.execute(sa.text("SELECT * FROM service_facts FOR UPDATE"))
        with database.transaction() as session:
            session.execute(sa.text("SET LOCAL lock_timeout = '50ms'"))
            session.execute(sa.text("UPDATE service_facts SET value = '2'"))
    assert is_transient(caught.value)
    database.dispose()


def test_a_row_that_is_refused_is_not_transient(database: Database) -> None:
    with pytest.raises(IntegrityError) as caught, database.transaction() as session:
        session.add_all([ServiceFact(name="a", value="1"), ServiceFact(name="a", value="2")])
    assert not is_transient(caught.value)
