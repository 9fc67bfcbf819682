"""The query parameters of pages: all that a page shows is in its address."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from app.jobs.listing import JobsQuery
from app.kit.pagination import PageQuery
from app.kit.query import QueryModel
from app.results.thresholds import ThresholdQuery
from simulator.config.base import unknown, unknown_error
from simulator.cost import profile_names

_Sort = Annotated[
    str | None,
    Field(max_length=64, description="Column that a script sorts a table by, and its direction."),
]


class TableQuery(QueryModel):
    """How a page's tables are sorted."""

    sort: _Sort = None


class JobsPageQuery(JobsQuery):
    """Which jobs the list shows."""

    sort: _Sort = None


class ListPageQuery(PageQuery):
    """Which part of a list a page shows."""

    sort: _Sort = None


class JobPageQuery(ThresholdQuery):
    """What the page of a job shows."""

    layer: Annotated[str | None, Field(max_length=1000, description="Layer that is shown closely.")] = None
    chips: Annotated[bool, Field(description="Whether a script draws every chip.")] = False
    hardware: Annotated[
        str | None, Field(max_length=100, description="Profile by which an inference is priced.")
    ] = None

    @field_validator("hardware")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None and name not in profile_names():
            raise unknown_error("unknown_profile", unknown("hardware profile", name, profile_names()))
        return name

    sort: _Sort = None


class ComparePageQuery(TableQuery):
    """Which jobs are compared."""

    job: Annotated[list[str] | None, Field(description="Two to eight jobs.")] = None
    variant: Annotated[
        list[str] | None, Field(description="Variants that a script draws; all by default.")
    ] = None


class CostPageQuery(TableQuery):
    """The jobs of which tag are shown by cost and accuracy."""

    tag: Annotated[str, Field(min_length=1, max_length=64, description="Tag of the jobs.")]


class NewJobQuery(QueryModel):
    """What the form of a new job begins with."""

    start_from: Annotated[str | None, Field(alias="from", description="A job to start from.")] = None
    model: Annotated[str | None, Field(description="The model that is chosen at first.")] = None
    dataset: Annotated[str | None, Field(description="The dataset that is chosen at first.")] = None
    preset: Annotated[str | None, Field(description="The preset that is chosen at first.")] = None


class ConfigsPageQuery(TableQuery):
    """Which configurations are shown, and compared."""

    show: Annotated[str | None, Field(max_length=200, description="A preset, or a stored one's id.")] = None
    against: Annotated[str | None, Field(max_length=200, description="Another one to compare with.")] = None
