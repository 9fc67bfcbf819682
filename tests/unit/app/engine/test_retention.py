from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.db.session import Database
from app.db.tables import Artifact, Base, Cell, Dataset, Event, Job, JobBlob, Model, Webhook, WebhookDelivery
from app.db.types import utc_now
from app.engine.retention import clean, removals, remove
from app.settings import Settings

AGE_S = 1000.0


@pytest.fixture
def ended(database: Database, make_job):
    """Make a job that ended some time ago, with an event, a cell and files of some bytes."""

    def make(*, ago_s: float, files: dict[str, int] | None = None, state: str = "succeeded") -> str:
        job_id = make_job(("evaluate:0", []))
        with database.transaction() as session:
            job = session.get_one(Job, job_id)
            job.state, job.finished_at = state, utc_now() - timedelta(seconds=ago_s)
            session.add(Event(job_id=job_id, seq=1000, type="job.succeeded", data={}))
            session.add(
                Cell(
                    job_id=job_id,
                    variant="direct",
                    repeat=0,
                    t_inference=1.0,
                    counts={"total": 1, "correct": 1},
                )
            )
            for number, (content, size) in enumerate((files or {}).items()):
                key = f"content/{content}"
                session.add(
                    Artifact(
                        job_id=job_id,
                        name=f"file-{number}",
                        media_type="text/plain",
                        size_bytes=size,
                        sha256="0" * 64,
                        blob_key=key,
                    )
                )
                session.add(JobBlob(job_id=job_id, role=f"artifact:file-{number}", blob_key=key))
        return job_id

    return make


def count(database: Database, table: type[Base], **where) -> int:
    with database.reading() as session:
        return session.scalars(select(func.count()).select_from(table).filter_by(**where)).one()


def test_without_limits_everything_stays(database, ended):
    ended(ago_s=10 * AGE_S, files={"a": 10})
    assert clean(database, Settings()) == []
    assert count(database, Job) == 1


def test_jobs_go_some_time_after_their_end_with_all_that_is_theirs(database, ended, make_job):
    old, young = ended(ago_s=2 * AGE_S, files={"a": 10}), ended(ago_s=1)
    waiting = make_job(("evaluate:0", []))
    (removed,) = clean(database, Settings(keep_jobs_s=AGE_S))
    assert (removed.what, removed.id, removed.size_bytes) == ("job", old, 10)
    with database.reading() as session:
        assert set(session.scalars(select(Job.id))) == {young, waiting}
    for table in (Cell, Event, Artifact, JobBlob):
        assert count(database, table, job_id=old) == 0


def test_a_jobs_files_go_and_its_results_stay(database, ended):
    old, young = ended(ago_s=2 * AGE_S, files={"a": 10}), ended(ago_s=1, files={"b": 10})
    (removed,) = clean(database, Settings(keep_artifacts_s=AGE_S))
    assert (removed.what, removed.id) == ("artifacts", old)
    assert count(database, Artifact, job_id=old) == count(database, JobBlob, job_id=old) == 0
    assert count(database, Cell, job_id=old) == 1
    assert count(database, Artifact, job_id=young) == 1
    assert count(database, Event, job_id=old, type="artifacts.removed") == 1
    assert clean(database, Settings(keep_artifacts_s=AGE_S)) == []


def test_files_over_the_bound_go_from_the_oldest_jobs_and_shared_ones_count_once(database, ended):
    first = ended(ago_s=30, files={"shared": 600, "a": 100})
    second = ended(ago_s=20, files={"shared": 600, "b": 300})
    third = ended(ago_s=10, files={"c": 200})
    removed = clean(database, Settings(keep_artifact_bytes=500))  # 1200 bytes are stored
    assert [(one.id, one.size_bytes) for one in removed] == [(first, 100), (second, 900)]
    assert count(database, Artifact, job_id=third) == 1
    assert clean(database, Settings(keep_artifact_bytes=500)) == []


def test_what_runs_keeps_its_files_whatever_the_bound(database, ended):
    ended(ago_s=1, files={"a": 1000}, state="running")
    assert clean(database, Settings(keep_artifact_bytes=0)) == []


def test_uploads_that_no_job_uses_go(database, ended):
    ended(ago_s=1)  # its model is in use
    with database.transaction() as session:
        for name, age_s in (("old", 2 * AGE_S), ("young", 1.0)):
            made = utc_now() - timedelta(seconds=age_s)
            session.add(
                Model(
                    name=name,
                    sha256=name,
                    size_bytes=7,
                    blob_key=f"models/{name}",
                    report={},
                    created_at=made,
                )
            )
            session.add(
                Dataset(
                    name=name, identity=name, sha256=name, size_bytes=9, format="npz", options={}, report={},
                    blob_key=f"datasets/{name}", created_at=made,
                )
            )  # fmt: skip
        for model in session.scalars(select(Model).where(Model.name == "m")):
            model.created_at = utc_now() - timedelta(seconds=2 * AGE_S)
    removed = clean(database, Settings(keep_uploads_s=AGE_S))
    assert sorted((one.what, one.size_bytes) for one in removed) == [("dataset", 9), ("model", 7)]
    assert count(database, Model, name="old") == count(database, Dataset, name="old") == 0
    assert count(database, Model, name="m") == count(database, Model, name="young") == 1


def test_an_upload_that_a_job_took_meanwhile_stays(database, make_job):
    job_id = make_job(("evaluate:0", []))
    with database.transaction() as session:
        model = session.get_one(Model, session.get_one(Job, job_id).model_id)
        model.created_at = utc_now() - timedelta(seconds=2 * AGE_S)
        lonely = Model(
            name="x", sha256="x", size_bytes=1, blob_key="models/x", report={},
            created_at=utc_now() - timedelta(seconds=2 * AGE_S),
        )  # fmt: skip
        session.add(lonely)
    settings = Settings(keep_uploads_s=AGE_S)
    with database.reading() as session:
        (planned,) = list(removals(session, settings))
    with database.transaction() as session:
        session.get_one(Job, job_id).model_id = planned.id
    assert not remove(database, planned, settings)
    assert count(database, Model, name="x") == 1


def test_events_of_jobs_that_ended_go(database, ended):
    old, young = ended(ago_s=2 * AGE_S), ended(ago_s=1)
    clean(database, Settings(keep_events_s=AGE_S))
    assert count(database, Event, job_id=old) == 0
    assert count(database, Event, job_id=young) > 0


def test_the_log_of_messages_goes_and_what_waits_stays(database):
    with database.transaction() as session:
        webhook = Webhook(url="https://example.org", secret="s")
        session.add(webhook)
        session.flush()
        for state, age_s in (("delivered", 2 * AGE_S), ("failed", 1.0), ("pending", None)):
            session.add(
                WebhookDelivery(
                    webhook_id=webhook.id, type="job.succeeded", payload="{}", state=state, attempts=[],
                    queued_s=0.0, due_s=0.0,
                    finished_at=None if age_s is None else utc_now() - timedelta(seconds=age_s),
                )
            )  # fmt: skip
    clean(database, Settings(keep_deliveries_s=AGE_S))
    with database.reading() as session:
        assert set(session.scalars(select(WebhookDelivery.state))) == {"failed", "pending"}
