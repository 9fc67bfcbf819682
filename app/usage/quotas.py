"""The rules of quotas: what is beyond a limit is refused with 429, and says when to come back."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

from sqlalchemy.orm import Session

from app.db.scope import project_of
from app.db.tables import DEFAULT_PROJECT
from app.db.types import utc_now
from app.kit.problems import Fault, TooManyRequests
from app.settings import Settings
from app.usage.limits import Limits
from app.usage.repository import UsageRepository

DAY: Final = timedelta(hours=24)
_JOBS_AGAIN_S: Final = 30


class Quotas:
    """The quotas of the project that a session sees."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self._usage = UsageRepository(session)
        self._settings = settings
        self.name = project_of(session) or DEFAULT_PROJECT

    def limits(self, *, locked: bool = False) -> Limits:
        """Return the limits; `locked` lets one request at a time be counted."""
        project = self._usage.project(self.name, locked=locked)
        return Limits.of(self._settings, None if project is None else project.limits)

    def require_room_for_job(self) -> None:
        """Raise TooManyRequests when one more job is beyond the limit."""
        if self.limits().jobs is None:
            return
        limit, there = self.limits(locked=True).jobs, self._usage.open_jobs()
        if limit is not None and there >= limit:
            message = f"project {self.name} has {there} jobs that have not ended; its limit is {limit}"
            raise _beyond("jobs", message, "wait for one to end, or cancel one", _JOBS_AGAIN_S)

    def require_room_for_seconds(self, estimated_s: float) -> None:
        """Raise TooManyRequests when a job of so many estimated seconds is beyond the limit of a day."""
        if self.limits().seconds_a_day is None:
            return
        limit_s, since = self.limits(locked=True).seconds_a_day, utc_now() - DAY
        used_s = self._usage.seconds_since(since)
        if limit_s is not None and used_s + estimated_s > limit_s:
            message = (
                f"the job takes about {estimated_s:.0f} s; project {self.name} has submitted {used_s:.0f} s "
                f"in the last 24 hours, and its limit is {limit_s:.0f} s"
            )
            first = self._usage.first_since(since)
            again_s = None if first is None else max(1, math.ceil((first - since).total_seconds()))
            raise _beyond("seconds_a_day", message, "ask for fewer chips, times or epochs, or wait", again_s)

    def require_room_for_bytes(self, size_bytes: int) -> None:
        """Raise TooManyRequests when so many more bytes are beyond the limit."""
        if self.limits().bytes is None:
            return
        limit, used = self.limits(locked=True).bytes, self._usage.stored_bytes()
        if limit is not None and used + size_bytes > limit:
            message = f"the file has {size_bytes} bytes; project {self.name} stores {used} of {limit}"
            raise _beyond("bytes", message, "delete models, datasets or jobs that nobody needs", None)


def _beyond(what: str, message: str, hint: str, again_s: int | None) -> TooManyRequests:
    headers = {} if again_s is None else {"Retry-After": str(again_s)}
    fault = Fault(pointer="", code=f"quota_{what}", message=message, hint=f"{hint}; GET /v1/usage shows it")
    return TooManyRequests(message, code="quota_exceeded", errors=[fault], headers=headers)
