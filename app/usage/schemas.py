"""Usage and projects as clients read and write them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.db.tables import Project
from app.usage.limits import NAMES
from simulator.config.base import StrictModel

_EXAMPLE: Final[JsonDict] = {"share": 2, "limits": {"jobs": 20, "seconds_a_day": 36000}}
_Count = Annotated[int, Field(ge=0)]
_Amount = Annotated[float, Field(ge=0)]


class CountUse(BaseModel):
    """How much of something countable is used."""

    used: int = Field(description="How much there is.")
    limit: int | None = Field(description="How much there may be; null: no limit.")


class SecondsUse(BaseModel):
    """How many seconds are used."""

    used: float = Field(description="Estimated seconds of the jobs that were submitted within 24 hours.")
    limit: float | None = Field(description="How many there may be; null: no limit.")


class UsageView(BaseModel):
    """What a project uses."""

    project: str = Field(description="Whose usage.")
    jobs: CountUse = Field(description="Jobs that have not ended.")
    seconds_a_day: SecondsUse = Field(description="Estimated seconds of jobs within 24 hours.")
    bytes: CountUse = Field(description="Bytes of models, datasets and artifacts.")
    requests_a_second: float | None = Field(
        description="Requests that one API process takes per second in the long run; null: no limit."
    )


class LimitsChange(StrictModel):
    """Limits of a project's own; null is no limit, and what is left out is the deployment's."""

    jobs: _Count | None = Field(default=None, description="Jobs queued and running at a time.")
    seconds_a_day: _Amount | None = Field(default=None, description="Estimated seconds of jobs in 24 hours.")
    bytes: _Count | None = Field(default=None, description="Bytes of models, datasets and artifacts.")
    requests_a_second: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Requests per second and API process in the long run."
    )


class ProjectChange(StrictModel):
    """What to change of a project; what is left out stays as it was."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    share: Annotated[float, Field(ge=0.01, le=100)] | None = Field(
        default=None, description="Share of the workers' time, relative to other projects'; they have 1."
    )
    limits: LimitsChange | None = Field(
        default=None,
        description="All limits of its own, instead of those that it had; {}: none of its own.",
    )


class ProjectView(BaseModel):
    """A project."""

    name: str = Field(description="Its name.")
    share: float = Field(description="Share of the workers' time, relative to other projects'.")
    limits: dict[str, Any] = Field(description="Limits of its own; those left out are the deployment's.")

    @classmethod
    def of(cls, row: Project) -> ProjectView:
        """Return the view of a project."""
        own = row.limits or {}
        return cls(name=row.name, share=row.share, limits={name: own[name] for name in NAMES if name in own})


class ProjectList(BaseModel):
    """All projects."""

    items: list[ProjectView] = Field(description="Projects by name.")
