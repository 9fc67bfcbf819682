"""Reading large results: `python -m benchmarks.results [cells]`.

A service on SQLite with jobs of 100,000 cells each; every form is read once, then twenty readers come at
once, of twenty jobs that nobody has read before. Meanwhile a client asks for a small job's state: what it
waits is what the readers cost everybody else.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Self

import httpx
from sqlalchemy import insert

from app.db.migrate import migrate
from app.db.session import Database
from app.db.tables import Cell, Job, Model

_READERS = 20
_REPEATS = 1000
_FORMS = (
    ("json", {}),
    ("csv", {"format": "csv"}),
    ("parquet", {"format": "parquet"}),
    ("png", {"format": "png"}),
    ("json, cells", {"cells": "true"}),
    ("csv, cells", {"cells": "true", "format": "csv"}),
    ("parquet, cells", {"cells": "true", "format": "parquet"}),
)


def add_job(database: Database, cells: int) -> str:
    """Store a job with so many cells; return its id."""
    draw = random.Random(cells)  # noqa: S311 - no secrets
    with database.transaction() as session:
        model = session.query(Model).first()
        if model is None:
            model = Model(name="m", sha256="0" * 64, size_bytes=1, blob_key="models/m", report={})
            session.add(model)
            session.flush()
        job = Job(
            name="large", tags=[], state="succeeded", spec={"task": "classification", "evaluate": {}},
            effective_config={}, config_hash="0" * 64, execution={}, seed=0, model_id=model.id,
            dataset_ref="builtin:digits", warnings=[], results_version=cells,
        )  # fmt: skip
        session.add(job)
        session.flush()
        rows = [
            {
                "job_id": job.id, "variant": "direct", "repeat": number % _REPEATS,
                "t_inference": float(number // _REPEATS), "counts":
                {"correct": draw.randrange(900, 1000), "total": 1000, "loss_sum": draw.random() * 100},
            }
            for number in range(cells)
        ]  # fmt: skip
        session.execute(insert(Cell), rows)
        return job.id


class Service:
    """An API process, and what it takes."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self._pid = pid

    def cpu_s(self) -> float:
        """Return the processor time so far."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> int:
        """Return the largest resident size so far."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024


@contextlib.contextmanager
def running(folder: Path, database_url: str) -> Iterator[Service]:
    """Start the API on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {**os.environ, "DATABASE_URL": database_url, "DRIFTLINE_DATA_DIR": str(folder)}
    command = [sys.executable, "-m", "app", "--port", str(port)]
    log = folder / "api.log"
    with log.open("ab") as told:
        process = subprocess.Popen(command, env=environment, stdout=told, stderr=told)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{url}/healthz/live")
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"the service did not start:\n{log.read_text()}")
            time.sleep(0.1)
        yield Service(url, process.pid)
    finally:
        process.terminate()
        process.wait(30)


class Bystander:
    """A client that reads a small job again and again; how long it waited at worst, and 95 times of 100.

    It is a process of its own, since the readers' threads would keep it waiting in this one.
    """

    def __init__(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._waits: list[float] = []
        self._answer, answer = context.Pipe(duplex=False)
        self._process = context.Process(target=_ask, args=(url, self._stop, answer))

    def __enter__(self) -> Self:
        self._process.start()
        self._answer.recv()  # it has begun
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._waits = self._answer.recv()
        self._process.join()

    def __str__(self) -> str:
        waits = sorted(self._waits)
        return f"others p95 {waits[int(0.95 * len(waits))] * 1e3:.0f} ms, worst {waits[-1] * 1e3:.0f} ms"


def _ask(url: str, stop: Event, answer: Connection) -> None:
    waits = []
    with httpx.Client(timeout=60) as client:
        client.get(url)
        answer.send("begun")
        while not stop.wait(0.02):
            started = time.monotonic()
            client.get(url).raise_for_status()
            waits.append(time.monotonic() - started)
    answer.send(waits)


def measure(service: Service, name: str, small: str, work: Callable[[], int]) -> None:
    """Do some work and print what it took."""
    with Bystander(f"{service.url}/v1/jobs/{small}") as bystander:
        cpu, started = service.cpu_s(), time.monotonic()
        size = work()
        wall, cpu = time.monotonic() - started, service.cpu_s() - cpu
    took = f"{wall:6.2f} s, cpu {cpu:6.2f} s, {size:>11,} B, peak {service.peak_mib()} MiB"
    print(f"{name:24s} {took}, {bystander}")


def main(cells: int) -> None:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'driftline.db'}"
        migrate(url)
        database = Database(url)
        small, *jobs = [add_job(database, 10), *(add_job(database, cells) for _ in range(_READERS))]
        database.dispose()

        def read(job: str, params: dict[str, str]) -> int:
            with httpx.stream(
                "GET", f"{service.url}/v1/jobs/{job}/results", params=params, timeout=300
            ) as answer:
                answer.raise_for_status()
                return sum(len(part) for part in answer.iter_raw())

        for form, params in _FORMS:
            with running(folder, url) as service:
                measure(service, form, small, lambda params=params: read(jobs[0], params))
                measure(service, f"{form}, again", small, lambda params=params: read(jobs[0], params))
        for form, params in _FORMS:
            with running(folder, url) as service, ThreadPoolExecutor(_READERS) as pool:
                measure(
                    service,
                    f"{_READERS} x {form}",
                    small,
                    lambda params=params: sum(pool.map(lambda job: read(job, params), jobs)),
                )
        with running(folder, url) as service:
            compared = {"job": jobs[:8]}
            measure(
                service,
                "compare 8",
                small,
                lambda: len(httpx.get(f"{service.url}/v1/compare", params=compared, timeout=300).content),
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
