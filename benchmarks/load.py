"""Many clients at once: `python -m benchmarks.load [jobs]`.

One API process on SQLite and on PostgreSQL (`TEST_POSTGRES_URL`) with 100,000 jobs. A thousand clients
poll with `If-None-Match`, at 200 requests a second and then faster until one of a hundred waits longer than
0.1 s; lists, filters and text search are read at depth, and the page of jobs; jobs are submitted; five
hundred event streams are open as events come. The clients run on the same cores.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import sqlalchemy as sa

from app.db.ids import new_id
from app.db.migrate import migrate
from app.db.session import Database
from app.db.tables import Job, JobTag
from app.engine.states import lock, record

from .results import Service, add_job, running

_POLLERS = 1000
_STREAMS = 500
_RUNNING = 2000  # jobs that can be polled
_RATES = (200, 300, 400, 500, 600, 700, 800, 1000, 1200, 1500)  # requests a second
_SECONDS = 8.0
_DEPTHS = 40  # pages of a list, spread over its whole depth
_PAGE = 50
_SUBMISSIONS = 400
_MODEL = Path(__file__).parents[1] / "examples" / "mnist_cnn.onnx"


class Line:
    """One kept-alive connection that sends GET requests; as light as a load generator must be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> Line:
        """Connect to the service."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port, limit=2**24))

    async def get(self, path: str, *, expected: int = 200, **headers: str) -> tuple[dict[str, str], bytes]:
        """Send one request and read its whole answer, which must have the expected status."""
        return await self._send("GET", path, b"", expected, headers)

    async def post(self, path: str, value: Any) -> None:
        """Post a JSON value, which must be accepted."""
        body = json.dumps(value).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        await self._send("POST", path, body, 202, headers)

    async def _send(
        self, method: str, path: str, content: bytes, expected: int, headers: dict[str, str]
    ) -> tuple[dict[str, str], bytes]:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{k}: {v}" for k, v in headers.items())]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + content)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        body = await self._reader.readexactly(int(fields.get("content-length", "0")))
        if int(head[0].split()[1]) != expected:
            raise RuntimeError(f"{head[0]}: {body.decode('latin-1')}")
        return fields, body

    async def events(self, path: str) -> AsyncIterator[bytes]:
        """Open an event stream; yield its lines."""
        self._writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        answer = await self._reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answer.split(b"\r\n")[0]:
            raise RuntimeError(answer.decode("latin-1"))
        while True:
            yield await self._reader.readline()

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


def quantiles(waits: Sequence[float]) -> str:
    """Return p50, p99 and the worst of some waits, in words."""
    ordered = sorted(waits)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(0.99 * len(ordered))]
    return f"p50 {p50 * 1e3:6.1f} ms, p99 {p99 * 1e3:6.1f} ms, worst {ordered[-1] * 1e3:6.1f} ms"


@dataclass(frozen=True)
class Poller:
    """A client that holds the newest version of a job, and asks for a newer one."""

    line: Line
    path: str
    tag: str
    busy: asyncio.Lock

    @classmethod
    async def open(cls, service: Service, job: str) -> Poller:
        """Connect, and read the job once."""
        line, path = await Line.open(service.url), f"/v1/jobs/{job}"
        return cls(line, path, (await line.get(path))[0]["etag"], asyncio.Lock())

    async def ask(self) -> None:
        """Ask once; one after the other."""
        async with self.busy:
            await self.line.get(self.path, expected=304, **{"If-None-Match": self.tag})


async def poll(clients: Sequence[Poller], rate: float) -> list[float]:
    """Let clients ask in turn, evenly, at a rate; return what each waited from when it was to ask."""
    waits: list[float] = []

    async def ask(client: Poller, due: float) -> None:
        await client.ask()
        waits.append(time.monotonic() - due)

    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * _SECONDS)):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(ask(clients[number % len(clients)], due))
    return waits


async def pollers(service: Service, jobs: Sequence[str]) -> None:
    """Measure polling, at the rate that was promised and up to the one that breaks."""
    clients = [await Poller.open(service, job) for job in jobs[:_POLLERS]]
    for rate in _RATES:
        cpu = service.cpu_s()
        waits = sorted(await poll(clients, rate))
        print(f"  {_POLLERS} pollers, {rate:5d} requests/s: {quantiles(waits)}, "
              f"API {100 * (service.cpu_s() - cpu) / _SECONDS:.0f} % of a core")  # fmt: skip
        if waits[int(0.99 * len(waits))] > 0.1:
            break
    for client in clients:
        client.line.close()


async def lists(service: Service) -> None:
    """Measure lists at every depth, and filters and text search."""
    line = await Line.open(service.url)

    async def read(path: str) -> tuple[float, dict[str, Any]]:
        started = time.monotonic()
        _, body = await line.get(path)
        return time.monotonic() - started, json.loads(body)

    for name, query in (
        ("list", ""), ("state=failed", "&state=failed"), ("tag=t7", "&tag=t7"),
        ("created_after", "&created_after=2020-01-01"), ("q, common", "&q=large"),
        ("q, rare", "&q=needle"), ("q, nowhere", "&q=nothing-has-this-name"),
    ):  # fmt: skip
        waits, after, pages = [], "", 0
        first = f"/v1/jobs?limit={_PAGE}{query}"
        while pages < _DEPTHS:
            wait, page = await read(first + after)
            waits.append(wait)
            pages += 1
            if not page.get("next_cursor"):
                break
            after = f"&cursor={page['next_cursor']}"
        print(f"  {name:14s} {pages:3d} pages of {_PAGE}: {quantiles(waits)}")
    line.close()


async def at_depth(service: Service, total: int) -> None:
    """Measure pages deep in the list: walk it in pages of 200 and time one of 50 at each."""
    line = await Line.open(service.url)
    waits, after, seen = [], "", 0
    while True:
        started = time.monotonic()
        _, body = await line.get(f"/v1/jobs?limit={_PAGE}&fields=state{after}")
        waits.append(time.monotonic() - started)
        _, body = await line.get(f"/v1/jobs?limit=200&fields=id{after}")
        page = json.loads(body)
        seen += len(page["items"])
        if not page.get("next_cursor"):
            break
        after = f"&cursor={page['next_cursor']}"
    print(f"  a page of {_PAGE} at {len(waits)} depths down to {seen:,}: {quantiles(waits)}")
    if seen < total:
        raise RuntimeError(f"the list has {seen} of {total} jobs")
    line.close()


async def pages(service: Service) -> None:
    """Measure the page of jobs."""
    line = await Line.open(service.url)
    for name, path in (("page of jobs", "/"), ("page of jobs, q", "/?q=needle")):
        waits = []
        for _ in range(10):
            started = time.monotonic()
            await line.get(path, Accept="text/html")
            waits.append(time.monotonic() - started)
        print(f"  {name:20s} first {waits[0] * 1e3:6.1f} ms, then {quantiles(waits[1:])}")
    line.close()


def upload(service: Service) -> str:
    """Upload the model of the demonstration; return its id."""
    answer = httpx.post(
        f"{service.url}/v1/models",
        content=_MODEL.read_bytes(),
        headers={"Content-Type": "application/octet-stream"},
        timeout=60,
    )
    return str(answer.raise_for_status().json()["id"])


async def submissions(service: Service, model: str) -> None:
    """Measure submissions of jobs that nobody computes, one at a time and many at once."""
    seeds = iter(range(1_000_000))

    async def submit(line: Line) -> float:
        job = {
            "model": model, "dataset": "builtin:mnist10k", "rpu_config": {"preset": "PCMExamplePreset"},
            "evaluate": {"t_inference": [1.0, 3600.0], "repeats": 3}, "seed": next(seeds),
        }  # fmt: skip
        started = time.monotonic()
        await line.post("/v1/jobs", job)
        return time.monotonic() - started

    for at_once in (1, 32):
        lines = [await Line.open(service.url) for _ in range(at_once)]
        left = iter(range(_SUBMISSIONS))

        async def client(line: Line, left: Iterator[int] = left) -> list[float]:
            return [await submit(line) for _ in left]

        cpu, started = service.cpu_s(), time.monotonic()
        waits = [wait for each in await asyncio.gather(*map(client, lines)) for wait in each]
        seconds, cpu = time.monotonic() - started, service.cpu_s() - cpu
        print(f"  submissions, {at_once:2d} at once: {len(waits) / seconds:5.1f} a second, "
              f"{quantiles(waits)}, {1e3 * cpu / len(waits):.1f} ms of processor each")  # fmt: skip
        for line in lines:
            line.close()


async def streams(service: Service, database: Database, jobs: Sequence[str]) -> None:
    """Measure how soon an event reaches five hundred open streams, while pollers ask."""
    chosen = jobs[:_STREAMS]
    before = service.peak_mib()
    opened = [await Line.open(service.url) for _ in chosen]
    heard: list[float] = []
    sent: dict[str, float] = {}

    async def listen(line: Line, job: str) -> None:
        async for text in line.events(f"/v1/jobs/{job}/events"):
            if text.startswith(b"event: job.measured") and job in sent:
                heard.append(time.monotonic() - sent[job])  # noqa: PERF401 - as they come

    listeners = [asyncio.create_task(listen(line, job)) for line, job in zip(opened, chosen, strict=True)]
    await asyncio.sleep(3)
    clients = [await Poller.open(service, job) for job in jobs[-_POLLERS:]]

    def tell(job: str) -> None:
        with database.transaction() as session:
            record(session, lock(session, job), "job.measured", {})  # type: ignore[arg-type]
        sent[job] = time.monotonic()

    async def tell_all() -> None:
        for job in chosen:
            await asyncio.to_thread(tell, job)
            await asyncio.sleep(_SECONDS / _STREAMS / 2)

    telling = asyncio.create_task(tell_all())
    cpu, waits = service.cpu_s(), await poll(clients, 200)
    print(f"  200 polls/s beside {_STREAMS} streams: {quantiles(waits)}, "
          f"API {100 * (service.cpu_s() - cpu) / _SECONDS:.0f} % of a core")  # fmt: skip
    await telling
    await asyncio.sleep(3)
    print(f"  {len(heard)} events reached their streams: {quantiles(heard)}; "
          f"peak memory {before} to {service.peak_mib()} MiB")  # fmt: skip
    for task in listeners:
        task.cancel()
    for line in (*opened, *(client.line for client in clients)):
        line.close()


def add_jobs(database: Database, total: int) -> list[str]:
    """Store so many jobs, most of which have ended; return the ids of those that run."""
    draw = random.Random(total)  # noqa: S311 - no secrets
    first = add_job(database, 10)
    with database.transaction() as session:
        job = session.get_one(Job, first)
        columns = {column.key: getattr(job, column.key) for column in Job.__table__.columns}
        rows = [
            {
                **columns, "id": new_id(),
                "state": draw.choice(["succeeded", "failed", "cancelled"])
                if number % max(1, total // _RUNNING)
                else "running",
                "name": "needle" if number % 20_000 == 7 else f"large {number}",
                "tags": [f"t{number % 1000}"],
            }
            for number in range(total)
        ]  # fmt: skip
        for begin in range(0, total, 10_000):
            session.execute(sa.insert(Job), rows[begin : begin + 10_000])
        tags = [{"job_id": row["id"], "tag": row["tags"][0]} for row in rows]
        session.execute(sa.insert(JobTag), tags)
    with database.engine.connect() as connection:
        connection.execute(sa.text("ANALYZE"))  # as PostgreSQL does by itself after so many new rows
        connection.commit()
    return [row["id"] for row in rows if row["state"] == "running"]


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, str]]:
    """Give an empty database of each kind that is at hand."""
    found = {"SQLite": f"sqlite:///{folder / 'driftline.db'}"}
    url = os.environ.get("TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
    server = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    name = f"driftline_load_{uuid4().hex}"
    try:
        with server.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        found["PostgreSQL"] = sa.make_url(url).set(database=name).render_as_string(hide_password=False)
    except sa.exc.OperationalError:
        print("no PostgreSQL: not measured")
    try:
        yield found
    finally:
        if "PostgreSQL" in found:
            with server.connect() as connection:
                connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()


def main(total: int) -> None:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as name, databases(Path(name)) as urls:
        for kind, url in urls.items():
            print(f"{kind}, {total:,} jobs")
            migrate(url)
            database = Database(url)
            jobs = add_jobs(database, total)
            with running(Path(name), url) as service:
                asyncio.run(lists(service))
                asyncio.run(at_depth(service, total))
                asyncio.run(pages(service))
            with running(Path(name), url) as service:
                asyncio.run(pollers(service, jobs))
            with running(Path(name), url) as service:
                asyncio.run(streams(service, database, jobs))
            with running(Path(name), url) as service:
                asyncio.run(submissions(service, upload(service)))
            database.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
