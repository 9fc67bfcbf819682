"""Whose rows a session sees: one rule for every query, which none can forget.

`Database.within` gives sessions of a project. Each of their statements gets the condition on the project,
wherever an owned table appears in it: selects, subqueries, updates and deletions. Rows that it adds
belong to the project. A session without a project (of workers, of housekeeping) sees everything. Columns of
all projects are read with `EVERY_PROJECT`, never whole rows. What is executed on the connection itself is not
conditioned.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, event, select
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria
from sqlalchemy.sql.base import ExecutableOption

from app.db.tables import Job, OfJob, OfWebhook, Owned, Webhook

EVERY_PROJECT: Final[dict[str, Any]] = {"driftline_every_project": True}
_PROJECT: Final = "driftline_project"
_jobs = Job.__table__.alias("owner")
_webhooks = Webhook.__table__.alias("owner")


def scoped(session: Session, project: str | None) -> Session:
    """Let a new session see one project alone; None leaves it as it is."""
    if project is not None:
        session.info[_PROJECT] = project
    return session


def project_of(session: Session) -> str | None:
    """Return the project that the session sees; None is every project."""
    project: str | None = session.info.get(_PROJECT)
    return project


@event.listens_for(Session, "do_orm_execute")
def _see_one_project(state: ORMExecuteState) -> None:
    project = project_of(state.session)
    # What completes a row that was read already is its own.
    if project is None or state.is_column_load or state.execution_options.get(*EVERY_PROJECT):
        return
    state.statement = state.statement.options(*_conditions(project))


@lru_cache(maxsize=1000)
def _conditions(project: str) -> tuple[ExecutableOption, ...]:
    """Return the conditions on a project; they are the same for every statement."""

    def of_project(table: type[Owned]) -> ColumnElement[bool]:
        return table.project == project

    def of_its_job(table: type[OfJob]) -> ColumnElement[bool]:
        theirs = select(_jobs.c.id).where(_jobs.c.id == table.job_id, _jobs.c.project == project)
        return theirs.correlate_except(_jobs).exists()

    def of_its_webhook(table: type[OfWebhook]) -> ColumnElement[bool]:
        theirs = select(_webhooks.c.id).where(
            _webhooks.c.id == table.webhook_id, _webhooks.c.project == project
        )
        return theirs.correlate_except(_webhooks).exists()

    return (
        with_loader_criteria(Owned, of_project, include_aliases=True),
        with_loader_criteria(OfJob, of_its_job, include_aliases=True),
        with_loader_criteria(OfWebhook, of_its_webhook, include_aliases=True),
    )


@event.listens_for(Session, "before_flush")
def _own_what_is_added(session: Session, context: Any, instances: Any) -> None:
    del context, instances
    project = project_of(session)
    if project is None:
        return
    for row in session.new:
        if isinstance(row, Owned):
            if row.project not in (None, project):
                raise PermissionError(f"a session of project {project} adds a row of {row.project}")
            row.project = project
