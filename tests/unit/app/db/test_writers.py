from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError, PendingRollbackError

from app.db.migrate import migrate
from app.db.session import Database
from app.db.tables import Project
from app.db.writers import WriteTurns


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'd.db'}"
    migrate(url)
    database = Database(url)
    yield database
    database.dispose()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it does not come to hold"
        time.sleep(0.002)


def test_who_came_first_is_let_in_first() -> None:
    turns, order = WriteTurns(30.0), []

    def write(number: int) -> None:
        assert turns.take()
        order.append(number)
        turns.give()

    assert turns.take()
    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=write, args=(number,)))
        threads[-1].start()
        until(lambda: turns.waiting == len(threads))
    turns.give()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]
    assert turns.take(), "the last one gave its turn back"


def test_a_writer_that_comes_back_at_once_is_behind_those_that_wait() -> None:
    turns, order = WriteTurns(30.0), []

    def other() -> None:
        assert turns.take()
        order.append("other")
        turns.give()

    assert turns.take()
    thread = threading.Thread(target=other)
    thread.start()
    until(lambda: turns.waiting == 1)
    turns.give()
    assert turns.take()
    order.append("first")
    turns.give()
    thread.join()
    assert order == ["other", "first"]


def test_who_waits_too_long_goes_on_without_a_turn_and_takes_none_away() -> None:
    turns = WriteTurns(0.01)
    assert turns.take()
    assert not turns.take()
    assert turns.waiting == 0
    turns.give()
    assert turns.take()


def test_the_turn_comes_back_however_a_transaction_ends(database: Database) -> None:
    def write(name: str) -> None:
        with database.transaction() as session:
            session.add(Project(name=name))

    write("one")
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        session.add(Project(name="undone"))
        session.flush()
        _ = 1 / 0
    with pytest.raises(OperationalError), database.transaction() as session:
        session.execute(text("SELECT nothing FROM nowhere"))
    with pytest.raises(PendingRollbackError), database.transaction() as session:
        session.execute(text("DELETE FROM projects WHERE name = 'one'"))
        session.connection().invalidate()
    done = threading.Event()

    def last() -> None:
        write("last")
        done.set()

    threading.Thread(target=last, daemon=True).start()
    assert done.wait(20), "a turn was kept"  # it would come by its deadline, after 30 s
    with database.reading() as session:
        assert set(session.scalars(select(Project.name))) == {"default", "one", "last"}


def test_readers_take_no_turn(database: Database) -> None:
    with database.transaction() as writer:
        writer.add(Project(name="unseen"))
        writer.flush()
        with database.reading() as reader:
            assert "unseen" not in set(reader.scalars(select(Project.name)))


def test_many_writers_at_once_all_write(database: Database) -> None:
    def write(number: int) -> None:
        for step in range(5):
            with database.transaction() as session:
                session.add(Project(name=f"{number}-{step}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert len(session.scalars(select(Project.name)).all()) == 16 * 5 + 1
