"""Which jobs a list shows, and in which order, as clients ask for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from app.engine.states import JobState
from app.jobs.repository import JobFilter
from app.jobs.schemas import JobView
from app.kit.fields import EXAMPLE_ID
from app.kit.pagination import PageQuery
from app.kit.problems import shortened
from simulator.config.base import custom_error, unknown, unknown_error

_EXAMPLE_TIME = "2026-01-31T12:00:00Z"
_EXAMPLE_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class Order(StrEnum):
    """Newest or oldest first."""

    DESC = "desc"
    ASC = "asc"


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment is before the year 1 or after the year 9999 in UTC") from None


def _as_moment(value: object) -> object:
    """Read a date as its first moment in UTC; pydantic would take bare numbers for seconds since 1970."""
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return f"{value}T00:00:00Z"
    hint = "write a date such as 2026-01-31 or a moment such as 2026-01-31T12:00:00Z"
    if re.fullmatch(r"\s*[-+]?[\d.]+([eE][-+]?\d+)?\s*", value):
        raise custom_error("not_a_moment", "a bare number is not a moment", hint=hint)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?", value):
        raise custom_error("no_time_zone", "the moment has no time zone", hint=f"write {value}Z for UTC")
    return value


_Moment = Annotated[AwareDatetime, AfterValidator(_in_utc), BeforeValidator(_as_moment)]
_Tag = Annotated[str, Field(min_length=1, max_length=64)]
_FIELDS = frozenset(JobView.model_fields)
_LONGEST_FIELDS = 1000
_Fields = Annotated[str, Field(max_length=_LONGEST_FIELDS)]  # as a client writes them


def _names(values: object) -> object:
    """Return the names in `fields`, which may come several times, each with names between commas."""
    if not isinstance(values, list):
        return values
    text = ",".join(values)
    if len(text) > _LONGEST_FIELDS:
        raise custom_error("string_too_long", f"this is longer than {_LONGEST_FIELDS} characters")
    return [name.strip() for name in text.split(",")]


def _known(name: str) -> str:
    if name not in _FIELDS:
        raise unknown_error("unknown_field", unknown("field", shortened(name, 100), _FIELDS))
    return name


class JobsQuery(PageQuery):
    """Which jobs a client asks for; all conditions hold together."""

    state: Annotated[
        list[JobState] | None, Field(max_length=6, description="Only jobs in this state; repeat for several.")
    ] = None
    tag: Annotated[
        list[_Tag] | None,
        Field(max_length=20, description="Only jobs with this tag; repeat for all of several."),
    ] = None
    model: Annotated[
        str | None, Field(max_length=36, description="Only jobs on this model.", examples=[EXAMPLE_ID])
    ] = None
    dataset: Annotated[
        str | None,
        Field(max_length=100, description="Only jobs on this dataset.", examples=["builtin:mnist10k"]),
    ] = None
    config_hash: Annotated[
        str | None,
        Field(
            pattern="^[0-9a-f]{64}$",
            description="Only jobs with this effective configuration.",
            examples=[_EXAMPLE_HASH],
        ),
    ] = None
    created_after: Annotated[
        _Moment | None,
        Field(
            description="Only jobs made then or later: a date (from its start in UTC), or a moment of"
            " RFC 3339 with `Z` or an offset.",
            examples=[_EXAMPLE_TIME],
        ),
    ] = None
    created_before: Annotated[
        _Moment | None, Field(description="Only jobs made earlier than that.", examples=[_EXAMPLE_TIME])
    ] = None
    q: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description="Only jobs with this text in their name or in a tag, in upper or lower case, or at"
            " the beginning of their id.",
        ),
    ] = None
    order: Annotated[Order, Field(description="`desc`: newest first; `asc`: oldest first.")] = Order.DESC

    fields: Annotated[
        list[Annotated[str, AfterValidator(_known)]] | None,
        BeforeValidator(_names, json_schema_input_type=_Fields),
        Field(
            description="Only these fields of each job, separated by commas; `id` is always there.",
            examples=["state,progress"],
        ),
    ] = None

    @property
    def shown_fields(self) -> frozenset[str] | None:
        """The fields of each job to show, None for all."""
        return None if self.fields is None else frozenset({"id", *self.fields})

    @property
    def name(self) -> str:
        """The list's name in cursors: one of the other order is refused."""
        return f"jobs:{self.order}"

    @property
    def oldest_first(self) -> bool:
        """Whether the list begins with the oldest job."""
        return self.order is Order.ASC

    @property
    def is_filtered(self) -> bool:
        """Whether there are conditions."""
        return self.job_filter != JobFilter()

    @property
    def job_filter(self) -> JobFilter:
        """The conditions."""
        return JobFilter(
            states=self.state or (),
            tags=self.tag or (),
            model_id=self.model,
            dataset=self.dataset,
            config_hash=self.config_hash,
            created_after=self.created_after,
            created_before=self.created_before,
            text=self.q,
        )
