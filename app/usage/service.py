"""What a project uses and may use, in one answer."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.db.types import utc_now
from app.settings import Settings
from app.usage.quotas import DAY, Quotas
from app.usage.repository import UsageRepository
from app.usage.schemas import CountUse, SecondsUse, UsageView


def usage_of(session: Session, settings: Settings) -> UsageView:
    """Return the usage of the session's project."""
    quotas, usage = Quotas(session, settings), UsageRepository(session)
    limits = quotas.limits()
    return UsageView(
        project=quotas.name,
        jobs=CountUse(used=usage.open_jobs(), limit=limits.jobs),
        seconds_a_day=SecondsUse(used=usage.seconds_since(utc_now() - DAY), limit=limits.seconds_a_day),
        bytes=CountUse(used=usage.stored_bytes(), limit=limits.bytes),
        requests_a_second=limits.requests_a_second,
    )
