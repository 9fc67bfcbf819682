"""The checks of the doctor. Each looks at one part, changes nothing, and says what it found."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.db.blobs import open_blobs
from app.db.schema import schema_fault
from app.db.session import Database, database_time_s, reason
from app.doctor.findings import Finding, fault, ok, warning
from app.engine.broker import Doorbell, make_celery
from app.engine.storage import storage_fault
from app.engine.webhooks.secrets import CLEAR_SECRETS, count_secrets
from app.health.repository import StateRepository
from app.health.roster import workers
from app.keys.repository import KeyRepository
from app.settings import Settings
from app.start import product_version

_LITTLE_ROOM_BYTES = 2 * 1024**3
_CLOCKS_AGREE_S = 1.0
_ANSWER_S = 5.0
_WAITS_LONG_S = 60.0


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield what is found, part by part; a part that fails does not keep the next from being looked at."""
    yield from _storage(settings)
    yield from _broker(settings)
    if _is_there(settings):
        database = Database(settings.resolved_database_url)
        try:
            yield from _database(settings, database)
        finally:
            database.dispose()
    else:
        yield warning("database", "there is none yet", "start the service: it makes one")
    yield from _api(settings)


def _is_there(settings: Settings) -> bool:
    """Tell whether opening the database makes none: SQLite makes a file where there is none."""
    url = make_url(settings.resolved_database_url)
    return url.get_backend_name() != "sqlite" or (url.database is not None and Path(url.database).exists())


def _storage(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir.absolute()
    if not folder.exists():
        advice = "start the service once, or let DRIFTLINE_DATA_DIR be the folder that it uses"
        yield warning("storage", f"{folder} does not exist", advice)
        return
    try:
        open_blobs(settings.blobs).check_writable()
    except OSError as error:
        advice = "give the service's user the right to write there"
        yield fault("storage", f"{folder} cannot be written: {error.strerror or error}", advice)
        return
    free = shutil.disk_usage(folder).free
    found = f"{folder} can be written; {free / 1024**3:.1f} GiB are free"
    if free < _LITTLE_ROOM_BYTES:
        yield warning("storage", found, "free some space: without any, workers give their work back")
    else:
        yield ok("storage", found)


def _broker(settings: Settings) -> Iterator[Finding]:
    if settings.redis_url is None:
        yield ok("broker", "no REDIS_URL: `make run` starts its own, other processes use files")
        return
    doorbell = Doorbell(make_celery(settings, answer_timeout_s=_ANSWER_S))
    try:
        doorbell.check()
    except Exception as error:  # noqa: BLE001 - brokers raise all sorts
        yield warning(
            "broker",
            f"it does not answer: {reason(error)}",
            "start it; until then workers find jobs by sweeping",
        )
    else:
        yield ok("broker", "it answers")
    finally:
        doorbell.close()


def _database(settings: Settings, database: Database) -> Iterator[Finding]:
    kind = database.engine.dialect.name
    try:
        wrong = schema_fault(database)
    except SQLAlchemyError as error:
        yield fault(
            "database", f"{kind} does not answer: {reason(error)}", "start it, or correct DATABASE_URL"
        )
        return
    yield ok("database", f"{kind} answers")
    if wrong is not None:
        found, _, advice = wrong.partition(": ")
        yield fault("schema", found, advice)
        return
    yield ok("schema", "it is this version's")
    with database.reading() as session:
        yield from _clock(session)
        yield from _mark(settings, session)
        yield from _workers(settings, session)
        yield from _queue(settings, session)
        yield from _secrets(settings, session)


def _clock(session: Session) -> Iterator[Finding]:
    before = time.time()
    told = database_time_s(session)
    off_s = told - (before + time.time()) / 2
    yield _judged_clock("database's clock", off_s)


def _judged_clock(what: str, off_s: float) -> Finding:
    if abs(off_s) < _CLOCKS_AGREE_S:
        return ok(what, "it agrees with this machine's")
    where = "ahead of" if off_s > 0 else "behind"
    return warning(
        what,
        f"it is {abs(off_s):.1f} s {where} this machine's",
        "set the clocks by NTP; leases hold all the same, since they use the database's clock alone",
    )


def _mark(settings: Settings, session: Session) -> Iterator[Finding]:
    wrong = storage_fault(session, open_blobs(settings.blobs))
    if wrong is None:
        yield ok("storage's mark", "storage and database belong together")
    else:
        found, _, advice = wrong.partition(": ")
        yield fault("storage's mark", found, advice)


def _workers(settings: Settings, session: Session) -> Iterator[Finding]:
    known = workers(session, settings)
    alive = [worker for worker in known if worker.alive]
    if not alive:
        yield fault("workers", "none has reported lately: jobs wait", "start one: python -m worker")
        return
    slots = sum(worker.concurrency for worker in alive)
    yield ok("workers", f"{len(alive)} alive, {slots} work items at once")
    for worker in alive:
        if worker.idle_reason is not None:
            found, _, advice = worker.idle_reason.partition(": ")
            yield fault(f"worker {worker.id}", f"it takes no work: {found}", advice or "see its log")
        if worker.version != product_version():
            said = worker.version or "an older version"
            yield warning(
                f"worker {worker.id}",
                f"it runs {said}, this is {product_version()}",
                "upgrade all machines to one version",
            )
    for worker in known:
        if not worker.alive:
            yield warning(
                f"worker {worker.id}",
                f"it is silent since {worker.last_seen_at:%Y-%m-%d %H:%M:%S} UTC",
                "see whether its machine is well; it leaves the list after ten minutes",
            )


def _queue(settings: Settings, session: Session) -> Iterator[Finding]:
    state = StateRepository(session)
    able = {name for worker in workers(session, settings) if worker.alive for name in worker.able or ()}
    unserved = {name: number for name, number in state.queued_by_requirement() if name not in able}
    waits_s = state.longest_wait_s()
    jobs = state.jobs_by_state()
    open_jobs = ", ".join(
        f"{jobs[name]} {name}" for name in ("queued", "running", "cancelling") if name in jobs
    )
    yield ok("queue", f"jobs: {open_jobs}" if open_jobs else "it is empty")
    for name, number in unserved.items():
        yield fault(
            "queue",
            f"{number} work items need {name}, and no worker that is alive offers it",
            "start a worker on a machine that has it, or cancel the jobs",
        )
    if waits_s is not None and waits_s > _WAITS_LONG_S and not unserved:
        yield warning("queue", f"the oldest work item waits for {waits_s:.0f} s", "start more workers")


def _secrets(settings: Settings, session: Session) -> Iterator[Finding]:
    sealer = settings.sealer
    found = count_secrets(session, sealer)
    if found.closed:
        yield fault(
            "secrets",
            f"{found.closed} secrets of webhooks are encrypted with a missing key: nothing is sent",
            "add the key to DRIFTLINE_ENCRYPTION_KEYS, or give these webhooks new secrets",
        )
    elif sealer.has_keys and (found.clear or found.outdated):
        yield warning(
            "secrets",
            f"of webhooks' secrets {found.clear} are not encrypted, and {found.outdated} with an older key",
            "run `driftline secrets`",
        )
    elif sealer.has_keys:
        yield ok("secrets", "those of webhooks are encrypted")
    elif KeyRepository(session).any() or settings.admin_key is not None:
        advice = "set DRIFTLINE_ENCRYPTION_KEYS (`driftline secrets --new-key` makes a key)"
        yield warning("secrets", CLEAR_SECRETS, advice)


def _api(settings: Settings) -> Iterator[Finding]:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host  # noqa: S104 - compared
    url = f"http://{host}:{settings.port}"
    try:
        with _measured() as elapsed:
            answer = httpx.get(f"{url}/healthz/ready", timeout=_ANSWER_S)
    except httpx.HTTPError as error:
        yield warning(
            "API",
            f"{url} does not answer: {error}",
            "start it, or say where it listens: DRIFTLINE_HOST, DRIFTLINE_PORT",
        )
        return
    if answer.is_success:
        yield ok("API", f"{url} answers in {elapsed():.0f} ms")
    else:
        yield fault("API", f"{url} says {answer.status_code}", answer.json().get("detail", "see its log"))
    if "date" in answer.headers:
        off_s = parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()
        if abs(off_s) > 1 + _CLOCKS_AGREE_S:  # the header counts whole seconds
            yield _judged_clock("API's clock", off_s)


@contextmanager
def _measured() -> Iterator[Callable[[], float]]:
    begun = time.perf_counter()
    ended: list[float] = []
    yield lambda: 1000 * (ended[0] - begun)
    ended.append(time.perf_counter())


def worst(findings: Iterable[Finding]) -> int:
    """Return the exit code: 1 where something does not work, else 0."""
    return int(any(one.verdict == "fault" for one in findings))
