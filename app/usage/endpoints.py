"""HTTP of usage and of projects."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Body, Path
from sqlalchemy.orm import Session

from app.kit.access import Scope, current_project, needs
from app.kit.fields import not_found
from app.kit.problems import Fault, InvalidRequest, NotFound, problem_responses
from app.kit.routing import StrictRoute
from app.kit.transactions import ReadSession, WriteSession, after_commit
from app.services import ServicesDep
from app.usage.repository import UsageRepository
from app.usage.schemas import ProjectChange, ProjectList, ProjectView, UsageView
from app.usage.service import usage_of

router = APIRouter(prefix="/v1", tags=["access"], route_class=StrictRoute)

_ADMIN: Final = needs(Scope.ADMIN)


@router.get("/usage", summary="What the project uses")
def get_usage(session: ReadSession, services: ServicesDep) -> UsageView:
    """Return what the project uses and may use: jobs, estimated seconds a day, bytes, requests."""
    if current_project() is None:
        message = "usage is a project's; name one"
        raise InvalidRequest(
            message, errors=[Fault(pointer="/query/project", code="one_project", message=message)]
        )
    return usage_of(session, services.settings)


@router.get("/projects", summary="List projects", openapi_extra=_ADMIN)
def list_projects(session: ReadSession) -> ProjectList:
    """List all projects by name, with their shares and limits of their own."""
    return ProjectList(items=[ProjectView.of(row) for row in UsageRepository(session).projects()])


@router.patch(
    "/projects/{project_name}",
    summary="Change a project",
    openapi_extra=_ADMIN,
    responses=problem_responses(NotFound),
)
def change_project(
    project_name: Annotated[str, Path(description="Its name.", max_length=64, examples=["lab"])],
    request: Annotated[ProjectChange, Body()],
    session: WriteSession,
    services: ServicesDep,
) -> ProjectView:
    """Change a project's share of the workers' time, or its limits; API processes follow within 5 s."""
    view = _change(session, project_name, request)
    after_commit(session, services.access.forget)
    return view


def _change(session: Session, name: str, request: ProjectChange) -> ProjectView:
    row = UsageRepository(session).project(name, locked=True)
    if row is None:
        raise not_found("project", name)
    if request.share is not None:
        row.share = request.share
    if request.limits is not None:
        row.limits = request.limits.model_dump(exclude_unset=True) or None
    session.flush()
    return ProjectView.of(row)
