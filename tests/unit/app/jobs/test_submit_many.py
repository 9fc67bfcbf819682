"""A sweep: many jobs on one network wait, and another one is submitted."""

import pytest
from sqlalchemy import event

from app.settings import Settings

from .submissions import body, database_of, submit


@pytest.fixture
def client(database_url, tmp_path, make_client):
    with make_client(Settings(data_dir=tmp_path, database_url=database_url, redis_url=None)) as client:
        yield client


def queries_of_a_submission(client, job) -> int:
    counted: list[str] = []

    def count(connection, cursor, statement, *_):
        counted.append(statement)

    engine = database_of(client).engine
    event.listen(engine, "before_cursor_execute", count)
    submit(client, job)
    event.remove(engine, "before_cursor_execute", count)
    return len(counted)


def test_a_submission_asks_as_much_beside_many_waiting_jobs_as_beside_few(client):
    job = body(client, evaluate={"t_inference": [1], "repeats": 1})
    for seed in range(2):
        submit(client, {**job, "seed": seed})
    few = queries_of_a_submission(client, {**job, "seed": 2})
    for seed in range(3, 13):
        submit(client, {**job, "seed": seed})
    assert queries_of_a_submission(client, {**job, "seed": 13}) <= few + 2
