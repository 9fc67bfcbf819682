"""Chips in service as they are at a time, whatever they were before, and what brought them back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.results.downtimes import Fleet, Share, Until
from simulator.config.maintenance import Schedule, ServiceKind
from simulator.config.services import Visit, planned


@dataclass(frozen=True)
class Done:
    """A service that chips got.

    Attributes:
        time_s: seconds after programming.
        do: what was done.
    """

    time_s: float
    do: ServiceKind


@dataclass(frozen=True)
class Return:
    """What became of the chips that were down, from one evaluated time to the next.

    Attributes:
        from_s: the time at which they were down.
        to_s: the next evaluated time.
        services: what was done to all chips after the first time, up to the second; none where chips come
            back because readouts differ.
        down: chips that were down at the first time.
        back: those of them that are good at the second.
    """

    from_s: float
    to_s: float
    services: tuple[Done, ...]
    down: int
    back: int


@dataclass(frozen=True)
class InService:
    """How chips are at a time, whatever they were before.

    Attributes:
        availability: the share that is good then, at the evaluated times and between them.
        holds_95_percent_until_s: until when 95 % of chips are good at every time.
        reason: why that is None, or more than it says.
        returns: what became of chips that were down, in the order of time.
        last: how many are good at the last evaluated time.
    """

    availability: tuple[Share, ...]
    holds_95_percent_until_s: float | None
    reason: str | None
    returns: tuple[Return, ...]
    last: int


def in_service(fleet: Fleet, schedule: Schedule, z: float | None) -> InService:
    """Return how chips under a schedule of services are.

    Args:
        fleet: the chips, with all of their downtimes.
        schedule: what was done to them.
        z: as `Fleet.shares` takes it.
    """
    until: Until = fleet.until_95_percent()
    return InService(
        availability=tuple(fleet.shares(z)),
        holds_95_percent_until_s=until.time_s,
        reason=until.reason,
        returns=tuple(_returns(fleet, planned(schedule, fleet.times_s))),
        last=fleet.up(fleet.times_s[-1]),
    )


def _returns(fleet: Fleet, visits: Sequence[Visit]) -> Iterator[Return]:
    for before, after in pairwise(visits):
        down = [
            spans for spans in fleet.chips if any(one.start_s < before.time_s < one.end_s for one in spans)
        ]
        if down:
            back = sum(any(one.end_s == after.time_s for one in spans) for spans in down)
            services = tuple(Done(one.time_s, one.kind) for one in after.services)
            yield Return(before.time_s, after.time_s, services, len(down), back)
