"""Which services of a schedule a chip gets before each evaluated time, planned from numbers. No torch.

A chip in service has a state of four parts: its devices, the factors of its compensation, its input ranges,
and the statistics of its batch normalisation. A service writes one part (`reprogram` all) and reads others.
One whose part is written again before anything reads it is undone, and not run. Planning goes back in time
from each evaluated one, from service to service that must run, and so takes as long as these are many,
whatever the schedule has in all.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from simulator.config.faults import ConfigWarning
from simulator.config.maintenance import MaintenanceRule, Schedule, ServiceKind

MOST_SERVICES: Final = 1000  # of one chip, that must run
_TOLD: Final = 3  # times, in a warning


class Part(Enum):
    """A part of a chip's state."""

    DEVICES = auto()
    FACTORS = auto()
    RANGES = auto()
    STATISTICS = auto()


_ALL: Final = frozenset(Part)
WRITES: Final[Mapping[ServiceKind, frozenset[Part]]] = {
    ServiceKind.COMPENSATE: frozenset({Part.FACTORS}),
    ServiceKind.REFRESH_BATCH_NORM: frozenset({Part.STATISTICS}),
    ServiceKind.CALIBRATE_INPUT_RANGES: frozenset({Part.RANGES}),
    ServiceKind.REPROGRAM: _ALL,
}
READS: Final[Mapping[ServiceKind, frozenset[Part]]] = {
    ServiceKind.COMPENSATE: frozenset({Part.DEVICES}),
    ServiceKind.REFRESH_BATCH_NORM: frozenset({Part.DEVICES, Part.FACTORS, Part.RANGES}),
    ServiceKind.CALIBRATE_INPUT_RANGES: frozenset({Part.DEVICES, Part.FACTORS, Part.STATISTICS}),
    ServiceKind.REPROGRAM: frozenset(),
}


class TooManyServicesError(ValueError):
    """More services must run on a chip than `MOST_SERVICES`."""


@dataclass(frozen=True)
class Programming:
    """How the devices of a chip were programmed last.

    Attributes:
        number: 0 for the first time.
        time_s: when, in s after the first time.
    """

    number: int
    time_s: float


@dataclass(frozen=True)
class Service:
    """A service that a chip gets.

    Attributes:
        kind: what is done.
        time_s: when, in s after the chip was programmed first.
        again: how many services of this kind come before it at the same time.
        samples: training samples, for kinds that need some.
        programming: the last one then; of `reprogram` the service itself.
    """

    kind: ServiceKind
    time_s: float
    again: int
    samples: int
    programming: Programming


@dataclass(frozen=True)
class Visit:
    """An evaluated time, and the services that must run since the one before.

    Attributes:
        time_s: evaluated, in s after the chip was programmed first.
        services: in the order in which they come.
        programming: the last one then.
    """

    time_s: float
    services: tuple[Service, ...]
    programming: Programming


# A place in the order of all that happens: time in s, rule, step of the rule. Cells come after services.
_Place = tuple[float, float, float]


@dataclass(frozen=True)
class _Slot:
    """One step of one rule, with all its times."""

    rule: MaintenanceRule
    number: int
    step: int

    @property
    def kind(self) -> ServiceKind:
        return self.rule.do[self.step]

    def count(self, place: _Place, *, inclusive: bool = False) -> int:
        """Return how many of its times come before a place."""
        own = (self.number, self.step)
        inclusive = own < place[1:] or (inclusive and own == place[1:])
        if self.rule.at is not None:
            return (bisect_right if inclusive else bisect_left)(self.rule.at, place[0])
        return _multiples(self.rule.every or math.inf, place[0], inclusive=inclusive)

    def last_s(self, place: _Place, *, inclusive: bool = False) -> float | None:
        """Return the last of its times before a place."""
        count = self.count(place, inclusive=inclusive)
        if count == 0:
            return None
        return self.rule.at[count - 1] if self.rule.at is not None else count * (self.rule.every or 0.0)

    def place(self, time_s: float) -> _Place:
        return (time_s, self.number, self.step)


def _multiples(interval_s: float, time_s: float, *, inclusive: bool) -> int:
    """Return how many positive multiples of an interval lie before a time, or at it."""

    def is_before(count: int) -> bool:
        product = count * interval_s
        return product <= time_s if inclusive else product < time_s

    count = int(time_s / interval_s)
    while is_before(count + 1):
        count += 1
    while count > 0 and not is_before(count):
        count -= 1
    return count


def planned(schedule: Schedule, times_s: Sequence[float]) -> list[Visit]:
    """Return each evaluated time with the services that must run before it.

    What is left out changes nothing: a plan for some of the times brings a chip to them in the same state.

    Args:
        schedule: the services.
        times_s: evaluated times in s, rising.

    Raises:
        TooManyServicesError: more than `MOST_SERVICES` must run.
    """
    slots = [
        _Slot(rule, number, step) for number, rule in enumerate(schedule) for step in range(len(rule.do))
    ]
    visits: list[Visit] = []
    total = 0
    for index in reversed(range(len(times_s))):
        after_s = times_s[index - 1] if index else -1.0
        place: _Place = (times_s[index], math.inf, math.inf)
        services: list[Service] = []
        live = _ALL
        while live:
            slot, time_s = _latest([one for one in slots if WRITES[one.kind] & live], place)
            if slot is None or time_s <= after_s:
                break
            place = slot.place(time_s)
            live = (live - WRITES[slot.kind]) | READS[slot.kind]
            services.append(_service(slot, slots, place))
            total += 1
            if total > MOST_SERVICES:
                raise TooManyServicesError(
                    f"more than {MOST_SERVICES} services of each chip would have to run"
                )
        end: _Place = (times_s[index], math.inf, math.inf)
        visits.append(Visit(times_s[index], tuple(reversed(services)), _programming(slots, end)))
    return visits[::-1]


def timing_warnings(schedule: Schedule, times_s: Sequence[float]) -> Iterator[ConfigWarning]:
    """Yield whether chips are only seen right after services, where they are at their best.

    Args:
        schedule: the services.
        times_s: evaluated times in s, rising.

    Raises:
        TooManyServicesError: more than `MOST_SERVICES` must run.
    """
    after = [
        visit.time_s
        for visit in planned(schedule, times_s)
        if any(service.time_s == visit.time_s > 0 for service in visit.services)
    ]
    if after:
        told = ", ".join(f"{time_s:g}" for time_s in after[:_TOLD]) + (" and later" * (len(after) > _TOLD))
        yield ConfigWarning(
            "",
            "right_after_service",
            f"chips are evaluated right after a service at {told} s, where they are at their best; they are"
            " at their worst just before one: evaluate there too",
        )


def _latest(slots: Sequence[_Slot], place: _Place) -> tuple[_Slot | None, float]:
    """Return the step that comes last before a place, and its time."""
    found: tuple[_Slot | None, float] = (None, -math.inf)
    best: _Place = (-math.inf, -1, -1)
    for slot in slots:
        time_s = slot.last_s(place)
        if time_s is not None and slot.place(time_s) > best:
            found, best = (slot, time_s), slot.place(time_s)
    return found


def _service(slot: _Slot, slots: Sequence[_Slot], place: _Place) -> Service:
    earlier = [one for one in slots if one.kind is slot.kind and (one.number, one.step) < place[1:]]
    again = sum(one.last_s(place) == place[0] for one in earlier)
    return Service(slot.kind, place[0], again, slot.rule.samples, _programming(slots, place))


def _programming(slots: Sequence[_Slot], place: _Place) -> Programming:
    """Return the last programming up to a place, which is part of it."""
    reprograms = [one for one in slots if one.kind is ServiceKind.REPROGRAM]
    times = [one.last_s(place, inclusive=True) for one in reprograms]
    return Programming(
        number=sum(one.count(place, inclusive=True) for one in reprograms),
        time_s=max((time_s for time_s in times if time_s is not None), default=0.0),
    )
