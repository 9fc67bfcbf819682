"""What was done to chips in service, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from app.results.availability import Done
from app.results.lifetime import Life
from driftline.times import in_words
from simulator.config.maintenance import ServiceKind

_NAMES: Final = {
    ServiceKind.COMPENSATE: "drift compensation read out",
    ServiceKind.REFRESH_BATCH_NORM: "batch normalisation refreshed",
    ServiceKind.CALIBRATE_INPUT_RANGES: "input ranges calibrated",
    ServiceKind.REPROGRAM: "chips reprogrammed",
}
_MOST_TIMES: Final = 3


def in_service(answer: Mapping[str, Any]) -> str | None:
    """Return the sentence that says what was done to chips; None where nobody asked for a schedule.

    Args:
        answer: results as JSON has them.
    """
    schedule: Sequence[Mapping[str, Any]] | None = answer.get("maintenance")
    if schedule is None:
        return None
    if not schedule:
        return "Nothing is done to chips after programming: drift is not compensated."
    times: dict[str, list[str]] = {}
    for rule in schedule:
        what = " and ".join(_NAMES[ServiceKind(kind)] for kind in rule["do"])
        times.setdefault(what, []).append(_when(rule))
    parts = [f"{what} {' and '.join(when)}" for what, when in times.items()]
    kinds = {kind for rule in schedule for kind in rule["do"]}
    without = "" if ServiceKind.COMPENSATE in kinds else "; drift is not compensated"
    return f"In service: {'; '.join(parts)}{without}.{_what_never_comes(schedule, answer)}"


def _what_never_comes(schedule: Sequence[Mapping[str, Any]], answer: Mapping[str, Any]) -> str:
    """Say that services begin after the last evaluated time, if some do; else nothing."""
    times_s = [point["t_inference"] for series in answer["series"] for point in series["points"]]
    firsts_s = [rule["every"] if rule["every"] is not None else min(rule["at"]) for rule in schedule]
    if not times_s or max(firsts_s) <= max(times_s):
        return ""
    return f" What begins after the last evaluated time, {in_words(max(times_s))}, changes nothing here."


def between_times(answer: Mapping[str, Any]) -> str | None:
    """Return what to know of the times between the evaluated ones; None without services."""
    if not answer.get("maintenance"):
        return None
    return (
        "Services come between the evaluated times, and a chip is at its worst just before one: what lies "
        "between two evaluated times is not seen. Evaluate just before services, or ask for the analysis "
        "maintenance_plan. A chip holds until it first falls; one that a service brings back counts again as "
        "good from the evaluated time on at which it is seen to be."
    )


def came_back(life: Life) -> list[str]:
    """Return the sentence that says after which services chips came back; none where no chip did."""
    returns = [] if life.in_service is None else [one for one in life.in_service.returns if one.back]
    told = [
        f"{one.back} of {one.down} by {in_words(one.to_s)}, after {what_was_done(one.services)}"
        for one in returns[:_MOST_TIMES]
    ]
    if len(returns) > _MOST_TIMES:
        told.append(f"and at {len(returns) - _MOST_TIMES} later times")
    return [f"Chips that had fallen came back ({life.variant}): {'; '.join(told)}."] if told else []


def what_was_done(services: Sequence[Done]) -> str:
    """Return services in words, those of a kind together."""
    if not services:
        return "no service: readouts differ"
    times: dict[ServiceKind, list[float]] = {}
    for one in services:
        times.setdefault(one.do, []).append(one.time_s)
    return " and ".join(f"{_NAMES[kind]} at {', '.join(_times(when))}" for kind, when in times.items())


def _when(rule: Mapping[str, Any]) -> str:
    if rule["every"] is not None:
        return f"every {in_words(rule['every']).removeprefix('1 ')}"
    return f"at {', '.join(_times(rule['at']))}"


def _times(times_s: Sequence[float]) -> Iterator[str]:
    yield from (in_words(time_s) for time_s in times_s[:_MOST_TIMES])
    if len(times_s) > _MOST_TIMES:
        yield f"and {len(times_s) - _MOST_TIMES} more times"
