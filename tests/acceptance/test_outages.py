"""What is away for a moment costs time, never a job: database, broker, storage, processes, the whole machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from app.db.schema import REVISION
from app.db.session import Database
from driftline import Driftline
from tests.waiting import until

from .conftest import MODEL, StartService, finished, kill, processes, runners_of, small_job
from .proxy import Proxy


def submit(driftline: Driftline, **changes: Any) -> str:
    model = driftline.upload_model(MODEL)
    return str(driftline.submit(small_job(model["id"], **changes))["id"])


def in_training(driftline: Driftline, job: str) -> None:
    until(lambda: driftline.history(job)["epochs"], "the first epoch")


def in_evaluation(driftline: Driftline, job: str) -> None:
    until(lambda: driftline.results(job, cells=True)["cells"], "the first cell")


def quick(driftline: Driftline) -> str:
    """A job of a second or two."""
    evaluate = {"t_inference": [1.0], "repeats": 1, "max_samples": 50, "variants": ["digital", "direct"]}
    return submit(driftline, finetune=None, evaluate=evaluate)


@pytest.fixture
def postgres_behind_proxy(postgres_url: str) -> Iterator[tuple[str, Proxy]]:
    url = sa.make_url(postgres_url)
    with Proxy(url.host or "127.0.0.1", url.port or 5432) as proxy:
        through = url.set(host="127.0.0.1", port=proxy.port)
        yield through.render_as_string(hide_password=False), proxy


@pytest.fixture
def redis_behind_proxy(redis_url: str) -> Iterator[tuple[str, Proxy]]:
    url = urlsplit(redis_url)
    with Proxy(url.hostname or "127.0.0.1", url.port or 6379) as proxy:
        yield url._replace(netloc=f"127.0.0.1:{proxy.port}").geturl(), proxy


def test_connections_that_are_cut_cost_no_attempt(
    start_service: StartService, postgres_url: str, undisturbed: dict[str, Any]
) -> None:
    cut = sa.text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    done = threading.Event()
    count = 0

    def cut_now_and_then() -> None:
        nonlocal count
        while not done.wait(0.7):
            with engine.connect() as connection:
                count += connection.execute(cut).scalar_one()

    with start_service(database_url=postgres_url, lease_s=20.0) as (_, driftline):
        job = submit(driftline)
        in_training(driftline, job)
        cutter = threading.Thread(target=cut_now_and_then)
        cutter.start()
        time.sleep(8)
        done.set()
        cutter.join()
        assert count > 10, "cut too little to tell anything"
        assert finished(driftline, job) == undisturbed
        assert driftline.job(job)["attempt"] == 1
    engine.dispose()


def test_a_database_that_is_away_for_some_seconds_costs_no_attempt(
    start_service: StartService, postgres_behind_proxy: tuple[str, Proxy], undisturbed: dict[str, Any]
) -> None:
    url, proxy = postgres_behind_proxy
    with start_service(database_url=url, lease_s=30.0) as (_, driftline):
        job = submit(driftline)
        in_training(driftline, job)
        with proxy.away():
            time.sleep(5)
        in_evaluation(driftline, job)
        with proxy.away():
            time.sleep(5)
        assert finished(driftline, job) == undisturbed
        assert driftline.job(job)["attempt"] == 1


def test_a_database_that_is_away_for_longer_than_a_lease_costs_an_attempt_at_most(
    start_service: StartService, postgres_behind_proxy: tuple[str, Proxy], undisturbed: dict[str, Any]
) -> None:
    url, proxy = postgres_behind_proxy
    with start_service(database_url=url, lease_s=3.0, max_attempts=2) as (_, driftline):
        job = submit(driftline)
        in_training(driftline, job)
        with proxy.away():
            time.sleep(8)
        assert finished(driftline, job) == undisturbed
        assert driftline.job(job)["attempt"] <= 2


def test_a_broker_that_hangs_holds_up_nobody(
    start_service: StartService, redis_behind_proxy: tuple[str, Proxy]
) -> None:
    url, proxy = redis_behind_proxy
    with start_service(redis_url=url) as (_, driftline), proxy.hanging():
        slowest = 0.0
        jobs = []
        for _ in range(10):
            begun = time.monotonic()
            jobs.append(quick(driftline))
            slowest = max(slowest, time.monotonic() - begun)
        assert slowest < 5, "a submission waited for the broker"
        for job in jobs:
            finished(driftline, job)


def test_a_worker_needs_no_broker_to_start_or_to_work(
    start_service: StartService, redis_behind_proxy: tuple[str, Proxy]
) -> None:
    url, proxy = redis_behind_proxy
    with start_service(redis_url=url, workers=0) as (service, driftline), proxy.away():
        service.start_worker("worker 0")
        finished(driftline, quick(driftline))


def test_a_worker_that_does_not_see_the_storage_takes_nothing(
    start_service: StartService, postgres_url: str, tmp_path: Path
) -> None:
    with start_service(database_url=postgres_url, workers=0) as (service, driftline):
        job = quick(driftline)
        environment = {
            **os.environ,
            "DATABASE_URL": postgres_url,
            "DRIFTLINE_DATA_DIR": str(tmp_path / "elsewhere"),
            "DRIFTLINE_SWEEP_S": "0.5",
        }
        environment.pop("REDIS_URL", None)
        astray = subprocess.Popen([sys.executable, "-m", "worker"], env=environment)
        try:
            until(lambda: _is_idle(driftline, "DRIFTLINE_DATA_DIR"), "the worker to say why it is idle")
            time.sleep(2)  # it sweeps a few times
            assert driftline.job(job)["state"] == "queued"
            service.start_worker("worker 0")
            finished(driftline, job)
        finally:
            astray.terminate()
            astray.wait(30)


def _is_idle(driftline: Driftline, reason: str) -> bool:
    workers = driftline.workers()
    return any(reason in (worker["idle_reason"] or "") for worker in workers)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_ends_no_job(
    start_service: StartService, postgres_url: str, small_disk: Path, undisturbed: dict[str, Any]
) -> None:
    with start_service(database_url=postgres_url, data_dir=small_disk, max_attempts=1) as (_, driftline):
        job = submit(driftline)
        in_training(driftline, job)
        filler = small_disk / "filler"
        with _filled(filler):
            until(lambda: _is_idle(driftline, "takes nothing"), "the worker to notice that the disk is full")
        assert finished(driftline, job) == undisturbed


@contextmanager
def _filled(path: Path) -> Iterator[None]:
    with path.open("wb", buffering=0) as file, suppress(OSError):  # a buffer would be written at the close
        while True:
            file.write(bytes(1 << 16))
    try:
        yield
    finally:
        path.unlink()


def test_what_a_restored_backup_lacks_is_computed_again(
    start_service: StartService, undisturbed: dict[str, Any]
) -> None:
    with start_service(workers=0, repeats_per_shard=1) as (service, driftline):
        first = service.start_worker("worker 0")
        job = submit(driftline)
        until(lambda: len(driftline.history(job)["epochs"]) == 3, "the training")
        in_evaluation(driftline, job)
        service.abandon(first)
        family = [first, *runners_of(first)]
        for pid in family:
            kill(pid)
        until(
            lambda: not [pid for pid, _, args in processes() if pid in family and "defunct" not in args],
            "its end",
        )
        shutil.rmtree(service.data_dir / "blobs" / "content")
        service.start_worker("worker 1")
        assert finished(driftline, job) == undisturbed
        again = driftline.extend(job, repeats=6)
        shutil.rmtree(service.data_dir / "blobs" / "content")
        assert len(finished(driftline, again["id"])["cells"]) == 36


def test_a_local_service_starts_again_what_ended(
    start_service: StartService, undisturbed: dict[str, Any]
) -> None:
    with start_service() as (service, driftline):
        stop = threading.Event()
        watcher = threading.Thread(target=service.watch, args=(stop,))
        watcher.start()
        try:
            job = submit(driftline)
            in_training(driftline, job)
            for name in ("worker 0", "api"):
                kill(service.process_id(name))
            until(lambda: _answers(driftline, job), "the API to answer again")
            assert finished(driftline, job) == undisturbed
        finally:
            stop.set()
            watcher.join()


def _answers(driftline: Driftline, job: str) -> bool:
    import httpx

    try:
        return bool(driftline.job(job))
    except httpx.TransportError:
        return False


def test_a_machine_that_is_suspended_again_and_again_ends_the_job(
    start_service: StartService, undisturbed: dict[str, Any]
) -> None:
    with start_service(lease_s=2.0, heartbeat_s=0.5, max_attempts=2, repeats_per_shard=5) as (
        service,
        driftline,
    ):
        worker = service.process_id("worker 0")
        job = submit(driftline)
        in_training(driftline, job)
        for _ in range(4):
            family = [*service.process_ids(), *_below(worker)]
            for pid in family:
                _send(pid, signal.SIGSTOP)
            time.sleep(3)
            for pid in family:
                _send(pid, signal.SIGCONT)
            time.sleep(2)
        assert finished(driftline, job) == undisturbed


def _below(pid: int) -> list[int]:
    children = [one for one, parent, _ in processes() if parent == pid]
    return [*children, *(grandchild for child in children for grandchild in _below(child))]


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def test_api_and_worker_refuse_a_schema_of_another_version(
    start_service: StartService, postgres_url: str
) -> None:
    database = Database(postgres_url)
    with start_service(database_url=postgres_url, workers=0) as (service, driftline):
        job = quick(driftline)
        with database.transaction() as session:
            session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        service.start_worker("worker 0")
        time.sleep(6)  # it starts and sweeps a few times
        with database.reading() as session:
            state = session.execute(
                sa.text("SELECT state FROM jobs WHERE id = :id"), {"id": job}
            ).scalar_one()
        assert state == "queued"
        with database.transaction() as session:
            session.execute(sa.text("UPDATE alembic_version SET version_num = :ours"), {"ours": REVISION})
        finished(driftline, job)
    database.dispose()


def test_a_job_whose_worker_is_dead_can_be_cancelled(start_service: StartService) -> None:
    with start_service(lease_s=2.0, heartbeat_s=0.5) as (service, driftline):
        worker = service.process_id("worker 0")
        job = submit(driftline)
        in_training(driftline, job)
        service.abandon(worker)
        kill(worker)
        driftline.cancel(job)
        until(lambda: driftline.job(job)["state"] == "cancelled", "the job to be cancelled", 20)


def test_a_runner_that_hangs_is_killed_and_its_item_is_done_again(
    start_service: StartService, undisturbed: dict[str, Any]
) -> None:
    with start_service(item_silence_s=8.0, max_attempts=10) as (service, driftline):
        job = submit(driftline)
        in_training(driftline, job)
        _send(until(lambda: runners_of(service.process_id("worker 0")), "a runner")[0], signal.SIGSTOP)
        assert finished(driftline, job) == undisturbed
        requeued = [
            event["data"] for event in driftline.events(job, follow=False) if event["type"] == "item.requeued"
        ]
        assert "stalled" in {event["reason"] for event in requeued}


def test_a_worker_without_compiled_loops_takes_the_jobs_that_need_none(
    start_service: StartService, tmp_path: Path
) -> None:
    broken = tmp_path / "broken" / "numba"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('numba is broken here')")
    with start_service(workers=0) as (service, driftline):
        compiled = quick(driftline)
        service.set_environment(PYTHONPATH=str(broken.parent))
        service.start_worker("worker 0")
        (worker,) = until(lambda: _able(driftline), "the worker to say what it can do")
        assert worker["able"] == ["auto/plain", "cpu/plain"]
        time.sleep(3)  # it sweeps a few times
        assert driftline.job(compiled)["state"] == "queued"
        service.set_environment(PYTHONPATH="")
        service.start_worker("worker 1")
        finished(driftline, compiled)
    with start_service(workers=0, loops="plain", data_dir=tmp_path / "plain") as (service, driftline):
        service.set_environment(PYTHONPATH=str(broken.parent))
        service.start_worker("worker 0")
        job = quick(driftline)
        finished(driftline, job)
        provenance = json.loads(driftline.artifact(job, "provenance.json"))
        assert provenance["execution"]["loops"] == "plain"


def _able(driftline: Driftline) -> list[dict[str, Any]]:
    return [worker for worker in driftline.workers() if worker["able"]]
