from sqlalchemy import func, select

from app.db.tables import JobTag
from app.kit.transactions import after_commit, run_after_commit


def stored(services) -> int:
    with services.database.reading() as session:
        return session.scalars(select(func.count()).select_from(JobTag)).one()


def test_a_commit_that_fails_is_answered_as_an_error_and_leaves_nothing(small, services):
    answer = small.post("/v1/tags/no-such-job")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert stored(services) == 0
    assert not services.blobs.exists("done")


def test_an_endpoint_that_refuses_leaves_nothing(small, services):
    answer = small.post("/v1/tags/no-such-job?fail=true")
    assert answer.json()["detail"] == "the endpoint refuses"
    assert stored(services) == 0
    assert not services.blobs.exists("done")


def test_what_waits_for_the_commit_is_done_after_it_and_only_once(services):
    done = []
    with services.database.transaction() as session:
        after_commit(session, lambda: done.append(1))
    run_after_commit(session)
    run_after_commit(session)
    assert done == [1]


def test_a_failure_after_the_commit_is_only_logged(services, caplog):
    done = []

    def fail():
        raise OSError("no luck")

    with services.database.transaction() as session:
        after_commit(session, fail)
        after_commit(session, lambda: done.append(1))
    run_after_commit(session)
    assert done == [1]
    assert "no luck" in caplog.text
