"""How long things are kept: what is older, or more than fits, is removed. Without limits everything stays.

A job's results (cells, baselines, epochs) stay as long as the job; its files may go before. Only what has
ended is ever removed, and of uploads only what no job uses. Files themselves are removed by the sweep of
`app.engine.storage`, once nothing names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.orm import Session

from app.db.session import Database
from app.db.tables import Artifact, Dataset, Event, Job, JobBlob, Model, WebhookDelivery
from app.db.types import utc_now
from app.engine.states import FINAL, lock, record
from app.engine.webhooks.outbox import DeliveryState
from app.settings import Settings

_AT_ONCE = 1000


@dataclass(frozen=True)
class Removal:
    """Something that is to be removed.

    Attributes:
        what: `job`, `artifacts`, `model`, `dataset`, `events` or `deliveries`.
        id: of the job, model, dataset or webhook.
        size_bytes: of its files; others may share them.
        reason: in words.
    """

    what: str
    id: str
    size_bytes: int
    reason: str


def removals(session: Session, settings: Settings) -> Iterator[Removal]:
    """Yield what the settings let go, a thousand of a kind at a time at most, the oldest first."""
    for seconds, rule in (
        (settings.keep_jobs_s, _jobs),
        (settings.keep_artifacts_s, _artifacts),
        (settings.keep_uploads_s, _uploads),
        (settings.keep_events_s, _events),
        (settings.keep_deliveries_s, _deliveries),
    ):
        if seconds is not None:
            yield from rule(session, utc_now() - timedelta(seconds=seconds), f"more than {seconds:g} s ago")
    if settings.keep_artifact_bytes is not None:
        yield from _over(session, settings.keep_artifact_bytes)


def _jobs(session: Session, before: datetime, when: str) -> Iterator[Removal]:
    for job_id in _ended(session, before):
        yield Removal("job", job_id, _bytes_of(session, job_id), f"it ended {when}")


def _artifacts(session: Session, before: datetime, when: str) -> Iterator[Removal]:
    has_files = select(JobBlob.role).where(JobBlob.job_id == Job.id).exists()
    for job_id in _ended(session, before, has_files):
        yield Removal("artifacts", job_id, _bytes_of(session, job_id), f"its job ended {when}")


def _events(session: Session, before: datetime, when: str) -> Iterator[Removal]:
    has_events = select(Event.seq).where(Event.job_id == Job.id).exists()
    for job_id in _ended(session, before, has_events):
        yield Removal("events", job_id, 0, f"its job ended {when}")


def _uploads(session: Session, before: datetime, when: str) -> Iterator[Removal]:
    for what, table, used in (("model", Model, Job.model_id), ("dataset", Dataset, Job.dataset_id)):
        unused = ~select(Job.id).where(used == table.id).exists()
        query = select(table.id, table.size_bytes).where(table.created_at < before, unused)
        for row in session.execute(query.order_by(table.id).limit(_AT_ONCE)):
            yield Removal(what, row.id, row.size_bytes, f"no job uses it, and it was uploaded {when}")


def _deliveries(session: Session, before: datetime, when: str) -> Iterator[Removal]:
    query = select(WebhookDelivery.webhook_id).where(_is_over(before)).distinct()
    for webhook_id in session.scalars(query.limit(_AT_ONCE)):
        yield Removal("deliveries", webhook_id, 0, f"they ended {when}")


def _is_over(before: datetime) -> ColumnElement[bool]:
    return and_(WebhookDelivery.state != DeliveryState.PENDING, WebhookDelivery.finished_at < before)


def remove(database: Database, removal: Removal, settings: Settings) -> bool:
    """Remove something, in a transaction of its own; return False if it is needed meanwhile, or gone."""
    with database.transaction() as session:
        match removal.what:
            case "job" | "artifacts" | "events":
                return _remove_of_job(session, removal)
            case "model" | "dataset":
                return _remove_upload(session, removal)
            case _:
                before = utc_now() - timedelta(seconds=settings.keep_deliveries_s or 0.0)
                theirs = WebhookDelivery.webhook_id == removal.id
                session.execute(delete(WebhookDelivery).where(theirs, _is_over(before)))
                return True


def clean(database: Database, settings: Settings) -> list[Removal]:
    """Remove all that the settings let go; return what was removed."""
    with database.reading() as session:
        planned = list(removals(session, settings))
    return [one for one in planned if remove(database, one, settings)]


def _ended(session: Session, before: datetime, *having: ColumnElement[bool]) -> list[str]:
    query = select(Job.id).where(Job.state.in_(FINAL), Job.finished_at < before, *having)
    return list(session.scalars(query.order_by(Job.id).limit(_AT_ONCE)))


def _bytes_of(session: Session, job_id: str) -> int:
    total = select(func.coalesce(func.sum(Artifact.size_bytes), 0)).where(Artifact.job_id == job_id)
    return int(session.scalars(total).one())


def _over(session: Session, most_bytes: int) -> Iterator[Removal]:
    """Yield the artifacts of the oldest jobs that have ended, until the rest is small enough.

    A file that several jobs have counts once, and goes when the last of them lets it go.
    """
    users = select(
        Artifact.blob_key, func.count().label("users"), func.max(Artifact.size_bytes).label("size")
    )
    files = {
        row.blob_key: [row.users, row.size] for row in session.execute(users.group_by(Artifact.blob_key))
    }
    total = sum(size for _, size in files.values())
    query = (
        select(Job.id, Artifact.blob_key)
        .join(Artifact, Artifact.job_id == Job.id)
        .where(Job.state.in_(FINAL))
        .order_by(Job.id)
    )
    by_job: dict[str, list[str]] = {}
    if total > most_bytes:
        for job_id, key in session.execute(query):
            by_job.setdefault(job_id, []).append(key)
    for job_id, keys in by_job.items():
        if total <= most_bytes:
            return
        freed = 0
        for key in keys:
            files[key][0] -= 1
            freed += files[key][1] if files[key][0] == 0 else 0
        total -= freed
        yield Removal("artifacts", job_id, freed, f"all artifacts together are more than {most_bytes} bytes")


def _remove_of_job(session: Session, removal: Removal) -> bool:
    job = lock(session, removal.id)
    if job is None or job.state not in FINAL:
        return False
    if removal.what == "job":
        session.delete(job)  # all that belongs to it goes with it
    elif removal.what == "artifacts":
        session.execute(delete(Artifact).where(Artifact.job_id == job.id))
        session.execute(delete(JobBlob).where(JobBlob.job_id == job.id))
        record(session, job, "artifacts.removed", {"reason": removal.reason})
    else:
        session.execute(delete(Event).where(Event.job_id == job.id))
    return True


def _remove_upload(session: Session, removal: Removal) -> bool:
    table, used = (Model, Job.model_id) if removal.what == "model" else (Dataset, Job.dataset_id)
    row = session.get(table, removal.id, with_for_update=True)
    in_use = session.scalars(select(Job.id).where(used == removal.id).limit(1)).first() is not None
    if row is None or in_use:
        return False
    session.delete(row)
    return True
