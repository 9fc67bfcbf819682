import json
import os
import subprocess
import sys

import pytest
from sqlalchemy import text

from app.db.session import database_time_s
from app.db.tables import Worker
from app.db.types import utc_now
from app.doctor.checks import examine
from app.doctor.findings import as_text
from app.settings import Settings
from app.start import product_version


@pytest.fixture
def settings(database_url, tmp_path):
    (tmp_path / "blobs").mkdir()
    return Settings(data_dir=tmp_path, database_url=database_url, port=1)


@pytest.fixture
def add_worker(database):
    def add(name="host:1", silent_s=0.0, **changes):
        with database.transaction() as session:
            values = {"version": product_version(), "able": ["auto/compiled", "cpu/compiled"], **changes}
            heard = database_time_s(session) - silent_s
            session.add(
                Worker(
                    id=name,
                    hostname="host",
                    pid=1,
                    concurrency=2,
                    started_at=utc_now(),
                    heartbeat_at_s=heard,
                    **values,
                )
            )

    return add


def found(settings, verdict=None):
    return {
        one.what: f"{one.found} -> {one.advice}"
        for one in examine(settings)
        if verdict is None or one.verdict == verdict
    }


def test_a_deployment_that_is_well_has_no_fault(settings, add_worker):
    add_worker()
    assert found(settings, "fault") == {}
    assert set(found(settings, "warning")) == {"API"}  # none listens on that port
    assert {"database", "schema", "workers", "queue", "storage", "broker"} <= set(found(settings, "ok"))


def test_without_workers_jobs_wait(settings):
    assert "python -m worker" in found(settings, "fault")["workers"]


def test_a_worker_of_another_version_or_that_takes_no_work_is_named(settings, add_worker):
    add_worker("old:1", version=None)
    add_worker("other:1", version="9.9")
    add_worker("full:1", idle_reason="the storage is full: free some space")
    warnings = found(settings, "warning")
    assert "an older version" in warnings["worker old:1"]
    assert "9.9" in warnings["worker other:1"]
    assert "the storage is full -> free some space" in found(settings, "fault")["worker full:1"]


def test_a_silent_worker_is_named(settings, add_worker):
    add_worker("here:1")
    add_worker("gone:1", silent_s=300)
    assert "silent since" in found(settings, "warning")["worker gone:1"]


def test_work_that_no_worker_is_able_to_do_is_a_fault(settings, add_worker, make_job, database):
    add_worker(able=["auto/plain"])
    make_job(("evaluate:hwa:0", []))
    assert "auto/compiled" in found(settings, "fault")["queue"]


@pytest.mark.parametrize("revision", ["0001", "9999"])
def test_another_schema_is_a_fault_that_says_what_to_run(settings, database, revision):
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
    assert "run" in found(settings, "fault")["schema"]


def test_a_database_that_does_not_answer_is_a_fault_and_the_rest_is_looked_at(tmp_path):
    url = "postgresql://nobody@127.0.0.1:1/none"
    looked = found(Settings(data_dir=tmp_path, database_url=url, port=1, redis_url="redis://127.0.0.1:1/0"))
    assert "does not answer" in looked["database"]
    assert "does not answer" in looked["broker"]
    assert "API" in looked


def test_looking_at_a_service_that_never_ran_makes_nothing(tmp_path):
    folder = tmp_path / "none"
    assert found(Settings(data_dir=folder, port=1), "fault") == {}
    assert not folder.exists()


def test_another_installations_storage_is_a_fault(settings, database, add_worker):
    add_worker()
    with database.transaction() as session:
        session.execute(text("INSERT INTO service_facts (name, value) VALUES ('installation', 'another')"))
    assert "storage's mark" in found(settings, "fault")


@pytest.mark.parametrize(("lease", "code"), [("1", 1), ("20", 0)])
def test_the_command_ends_with_one_if_something_does_not_work(tmp_path, lease, code):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")}
    environment = {
        **clean,
        "DRIFTLINE_DATA_DIR": str(tmp_path),
        "DRIFTLINE_LEASE_S": lease,
        "DRIFTLINE_PORT": "1",
    }
    command = [sys.executable, "-m", "driftline", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert {one["what"] for one in json.loads(done.stdout)} >= {"settings"}


def test_findings_are_counted_in_words(settings):
    assert as_text(list(examine(settings))).splitlines()[-1] == "1 fault, 1 warning."
