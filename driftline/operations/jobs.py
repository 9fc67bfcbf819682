"""Jobs: submit, list, read, change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from driftline.core.steps import Flow, Request, call, call_json, get, post
from driftline.durations import Duration, all_seconds, seconds
from driftline.errors import InvalidInput
from driftline.operations.lists import listed
from driftline.operations.naming import Named, id_of, path_of

_FRESH = {"Cache-Control": "no-cache"}
_JOBS = "/v1/jobs"
# Fields of a specification that may be written as durations: lists of times, and single ones.
_TIMES = ("t_inference", "at")
_SPANS = ("every", "horizon")


def submit(job: Mapping[str, Any], *, fresh: bool = False) -> Flow[Any]:
    """Submit a job and return it. Repeating is safe: each call is done once, whatever the network does.

    Args:
        job: the specification, as `POST /v1/jobs` takes it; model and dataset may be records, and times may
            be durations such as "1 month".
        fresh: compute everything, even what earlier jobs have computed already.

    Raises:
        InvalidRequest: it has faults; all of them are told.
    """
    request = post(_JOBS, specification(job)).once()
    return (yield from call_json(_freshly(request, fresh=fresh)))


def dry_run(job: Mapping[str, Any], *, fresh: bool = False) -> Flow[Any]:
    """Check a job without submitting it; return what it would be: tiles, devices, cells, seconds.

    Raises:
        InvalidRequest: it has faults; all of them are told.
    """
    request = post(_JOBS, specification(job), {"dry_run": True}).harmless()
    return (yield from call_json(_freshly(request, fresh=fresh)))


def jobs(
    *,
    state: str | Iterable[str] | None = None,
    tag: str | Iterable[str] | None = None,
    model: Named | None = None,
    dataset: Named | None = None,
    q: str | None = None,
    fields: Iterable[str] | None = None,
    limit: int | None = 50,
) -> Flow[list[Any]]:
    """Return jobs, newest first; several conditions all hold.

    Args:
        state: only jobs in this state, or in one of these.
        tag: only jobs with this tag, or with all of these.
        model: only jobs on this model.
        dataset: only jobs on this dataset.
        q: only jobs with this text in their name.
        fields: read these fields of each job alone, which is faster; the id is always there.
        limit: how many at most; None for all.
    """
    params = {
        "state": _several(state),
        "tag": _several(tag),
        "model": None if model is None else id_of(model),
        "dataset": None if dataset is None else id_of(dataset),
        "q": q,
        "fields": None if fields is None else ",".join(fields),
    }
    return (yield from listed(_JOBS, limit, params))


def job(job: Named) -> Flow[Any]:
    """Return a job as it is now."""
    return (yield from call_json(get(path_of("jobs", job))))


def cancel(job: Named) -> Flow[Any]:
    """Cancel a job that has not ended; the cells that it has stay."""
    return (yield from call_json(post(path_of("jobs", job, "cancel"))))


def retry(job: Named) -> Flow[Any]:
    """Submit a failed or cancelled job again; return the new job, which takes over what there is."""
    return (yield from call_json(post(path_of("jobs", job, "retry")).once()))


def extend(
    job: Named,
    /,
    *,
    repeats: int | None = None,
    t_inference: Iterable[Duration] | Duration | None = None,
    **more: Any,
) -> Flow[Any]:
    """Submit a finished job with more chips or times; return the new job, which computes the missing cells.

    Args:
        job: the finished job.
        repeats: the number of chips in all.
        t_inference: further times, in seconds or as durations such as "1 week".
        more: what else the service takes.
    """
    wanted: dict[str, Any] = dict(more)
    if repeats is not None:
        wanted["repeats"] = repeats
    if t_inference is not None:
        wanted["t_inference"] = all_seconds(t_inference)
    if "analyses" in wanted:
        wanted["analyses"] = _each_in_seconds(wanted["analyses"])
    return (yield from call_json(post(path_of("jobs", job, "extend"), wanted).once()))


def delete(job: Named) -> Flow[None]:
    """Delete a job that has ended, with its results and files."""
    yield from call(Request("DELETE", path_of("jobs", job)))


def specification(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's specification as the service takes it: ids for records, seconds for durations.

    Raises:
        InvalidInput: it is not a mapping, or a time is not a duration.
    """
    if not isinstance(job, Mapping):
        raise InvalidInput(
            f"a job is a mapping of fields such as model and dataset, not a {type(job).__name__}"
        )
    spec = dict(job)
    for name in ("model", "dataset"):
        if isinstance(spec.get(name), Mapping):
            spec[name] = id_of(spec[name])
    if isinstance(spec.get("evaluate"), Mapping):
        spec["evaluate"] = evaluate = _in_seconds(spec["evaluate"])
        if "maintenance" in evaluate:
            evaluate["maintenance"] = _each_in_seconds(evaluate["maintenance"])
    if "analyses" in spec:
        spec["analyses"] = _each_in_seconds(spec["analyses"])
    return spec


def _each_in_seconds(parts: Any) -> Any:
    """Return parts of a specification with seconds for durations; what is no list of them as it is."""
    if not isinstance(parts, list | tuple):
        return parts
    return [_in_seconds(one) if isinstance(one, Mapping) else one for one in parts]


def _in_seconds(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a specification with seconds for durations."""
    told = dict(part)
    for name in _TIMES:
        if _holds_durations(told.get(name)):
            told[name] = all_seconds(told[name])
    for name in _SPANS:
        if isinstance(told.get(name), str):
            told[name] = seconds(told[name])
    return told


def _holds_durations(times: Any) -> bool:
    """Tell whether some times are texts; everything else is judged by the service, which tells all faults."""
    return isinstance(times, str) or (
        isinstance(times, Iterable)
        and not isinstance(times, Mapping)
        and any(isinstance(one, str) for one in times)
    )


def _freshly(request: Request, *, fresh: bool) -> Request:
    return replace(request, headers={**request.headers, **_FRESH}) if fresh else request


def _several(value: str | Iterable[str] | None) -> list[str] | None:
    if value is None:
        return None
    return [value] if isinstance(value, str) else list(value)
