"""Types and bodies of the messages that webhooks send."""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.db.tables import Job, Webhook


class EventType(StrEnum):
    """What a message may be about: each state that a job comes to after it was queued."""

    JOB_RUNNING = "job.running"
    JOB_CANCELLING = "job.cancelling"
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"


TEST = "webhook.test"


def job_message(job: Job, event_type: str, at: datetime) -> str:
    """Return the body of the message about a job's new state."""
    link = f"/v1/jobs/{job.id}"
    data = {
        "id": job.id,
        "name": job.name,
        "tags": job.tags,
        "state": str(job.state),
        "model": job.model_id,
        "dataset": job.dataset_ref,
        "config_hash": job.config_hash,
        "seed": job.seed,
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "failure": job.failure,
        "links": {"self": link, "results": f"{link}/results"},
    }
    return _body(event_type, at, {"job": data})


def test_message(webhook: Webhook, at: datetime) -> str:
    """Return the body of a message that only tests the way."""
    return _body(TEST, at, {"webhook": {"id": webhook.id, "url": webhook.url}})


def _body(event_type: str, at: datetime, data: dict[str, Any]) -> str:
    return json.dumps({"type": event_type, "timestamp": _time(at), "data": data}, separators=(",", ":"))


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
