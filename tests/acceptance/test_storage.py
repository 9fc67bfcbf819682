"""The storage of a whole service: in S3, cleaned up, and restored elsewhere from a backup."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time

import fsspec

from tests.waiting import until

from .conftest import MODEL, finished, run_job, small_job


def test_a_service_on_s3_finds_the_same_and_keeps_nothing_but_a_cache_on_its_machine(
    start_service, undisturbed, s3_url, tmp_path
):
    with start_service(data_dir=tmp_path / "remote", blob_url=s3_url, workers=2) as (_, driftline):
        assert run_job(driftline) == undisturbed
        (job,) = driftline.jobs()
        assert len(driftline.artifact(job["id"], "finetuned.onnx")) > 1000
    assert not (tmp_path / "remote" / "blobs").exists()
    files, root = fsspec.core.url_to_fs(s3_url, skip_instance_cache=True)
    stored = [path.removeprefix(f"{root}/") for path in files.find(root)]
    assert {path.partition("/")[0] for path in stored} == {"content", "models", "installation"}


def test_a_service_restored_elsewhere_from_a_backup_goes_on_with_its_jobs(
    start_service, undisturbed, tmp_path
):
    with start_service(data_dir=tmp_path / "old") as (_, driftline):
        job = driftline.submit(small_job(driftline.upload_model(MODEL)["id"]))["id"]
        until(lambda: driftline.history(job)["epochs"], "the first epoch")
        # As docs/operation.md says: first the database, then the files, while the service runs.
        (tmp_path / "new").mkdir()
        with (
            sqlite3.connect(tmp_path / "old" / "driftline.db") as source,
            sqlite3.connect(tmp_path / "new" / "driftline.db") as copy,
        ):
            source.backup(copy)
        shutil.copytree(tmp_path / "old" / "blobs", tmp_path / "new" / "blobs")
        assert driftline.job(job)["state"] == "running", "it ended too early to tell anything"
    with start_service(data_dir=tmp_path / "new") as (_, driftline):
        assert driftline.history(job)["epochs"]
        assert finished(driftline, job) == undisturbed


def test_gc_says_what_would_go_and_then_removes_it(start_service):
    with start_service() as (service, driftline):
        run_job(driftline)
        (job,) = driftline.jobs()
        left = service.data_dir / "blobs" / "models" / "left-by-a-crash"
        left.write_bytes(b"x" * 100)
        os.utime(left, (time.time() - 7200,) * 2)
        environment = {
            **os.environ,
            "DRIFTLINE_DATA_DIR": str(service.data_dir),
            "DRIFTLINE_KEEP_ARTIFACTS_S": "0",
        }

        def gc(*arguments):
            command = [sys.executable, "-m", "driftline", "gc", *arguments]
            return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

        for said in (gc("--dry-run"), gc()):
            assert job["id"] in said
            assert "models/left-by-a-crash" in said
        assert not left.exists()
        assert {one["name"] for one in driftline.artifacts(job["id"])} <= {"report.html"}
        assert driftline.results(job["id"], cells=True)["cells"]
        assert "0 things and 0 files" in gc("--dry-run")
