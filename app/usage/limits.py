"""The limits of a project: the deployment's, and those that its own row replaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.settings import Settings

# By the names that a project's row has, which are those of the fields.
NAMES: Final = ("jobs", "seconds_a_day", "bytes", "requests_a_second")


@dataclass(frozen=True)
class Limits:
    """What a project may use; None is as much as there is.

    Attributes:
        jobs: queued and running at a time.
        seconds_a_day: estimated seconds of the jobs that were submitted within 24 hours.
        bytes: of models, datasets and artifacts.
        requests_a_second: to one API process, in the long run; ten seconds' worth may come at once.
    """

    jobs: int | None
    seconds_a_day: float | None
    bytes: int | None
    requests_a_second: float | None

    @classmethod
    def of(cls, settings: Settings, own: Mapping[str, Any] | None) -> Limits:
        """Return the limits of a project, with those of its own."""
        deployment = {
            "jobs": settings.quota_jobs,
            "seconds_a_day": settings.quota_seconds_a_day,
            "bytes": settings.quota_bytes,
            "requests_a_second": settings.quota_requests_a_second,
        }
        return cls(**{**deployment, **{name: (own or {})[name] for name in NAMES if name in (own or {})}})
