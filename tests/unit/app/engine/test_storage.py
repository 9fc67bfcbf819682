from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import delete

from app.db.blobs import FolderBlobs
from app.db.session import Database
from app.db.tables import JobBlob
from app.engine import recording
from app.engine.storage import UnusedBlobs, claim_storage, storage_fault
from tests.unit.app.conftest import MakeJob


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path / "blobs")


def old(blobs: FolderBlobs, content: bytes) -> str:
    key = blobs.put(content).key
    then = time.time() - 7200
    os.utime(blobs.path(key), (then, then))
    return key


def use(database: Database, job_id: str, role: str, key: str) -> str | None:
    with database.transaction() as session:
        return recording.use_blob(session, job_id, role, key)


def test_what_nothing_uses_goes_at_the_second_look(
    database: Database, blobs: FolderBlobs, make_job: MakeJob
) -> None:
    used, unused, young = old(blobs, b"used"), old(blobs, b"unused"), blobs.put(b"young").key
    use(database, make_job(("evaluate:0", [])), "artifact:a", used)
    sweep = UnusedBlobs(database, blobs)
    assert sweep.look() == {}
    assert sweep.look() == {unused: 6}
    assert [blobs.exists(key) for key in (used, unused, young)] == [True, False, True]


def test_what_was_taken_over_between_two_looks_stays(
    database: Database, blobs: FolderBlobs, make_job: MakeJob
) -> None:
    key = old(blobs, b"shared")
    sweep = UnusedBlobs(database, blobs)
    sweep.look()
    use(database, make_job(("evaluate:0", [])), "artifact:a", key)
    assert sweep.look() == {}
    assert blobs.exists(key)


def test_a_blob_outlives_each_of_its_users_but_the_last(
    database: Database, blobs: FolderBlobs, make_job: MakeJob
) -> None:
    key = old(blobs, b"shared")
    jobs = [make_job(("evaluate:0", [])) for _ in range(2)]
    for job in jobs:
        use(database, job, "artifact:a", key)
    sweep = UnusedBlobs(database, blobs)
    for job, stays in zip(jobs, (True, False), strict=True):
        with database.transaction() as session:
            session.execute(delete(JobBlob).where(JobBlob.job_id == job))
        sweep.look()
        sweep.look()
        assert blobs.exists(key) == stays


def test_uploads_that_no_row_names_go_and_those_that_one_names_stay(
    database: Database, blobs: FolderBlobs, make_job: MakeJob
) -> None:
    make_job(("evaluate:0", []))  # its model is the blob `models/m`
    for key in ("models/m", "models/left-by-a-crash", "datasets/left-by-a-crash"):
        blobs.write(key, b"bytes")
        then = time.time() - 7200
        os.utime(blobs.path(key), (then, then))
    sweep = UnusedBlobs(database, blobs)
    sweep.look()
    assert set(sweep.look()) == {"models/left-by-a-crash", "datasets/left-by-a-crash"}
    assert blobs.exists("models/m")


def test_what_is_replaced_is_told_when_nothing_else_uses_it(database: Database, make_job: MakeJob) -> None:
    one, other = (make_job(("finetune:hwa", [])) for _ in range(2))
    assert use(database, one, "checkpoint:finetune:hwa", "content/0") is None
    use(database, other, "checkpoint:finetune:hwa", "content/0")
    assert use(database, one, "checkpoint:finetune:hwa", "content/1") is None
    assert use(database, one, "checkpoint:finetune:hwa", "content/1") is None
    assert use(database, other, "checkpoint:finetune:hwa", "content/2") == "content/0"


def test_another_storage_is_told_from_the_databases_own(
    database: Database, blobs: FolderBlobs, tmp_path: Path
) -> None:
    def fault(store: FolderBlobs) -> str | None:
        with database.reading() as session:
            return storage_fault(session, store)

    assert fault(blobs) is None  # nobody has said yet
    claim_storage(database, blobs)
    claim_storage(database, blobs)
    assert fault(blobs) is None
    empty = FolderBlobs(tmp_path / "empty")
    assert "no mark" in str(fault(empty))
    empty.adopt_identity("another")
    assert "another installation" in str(fault(empty))
