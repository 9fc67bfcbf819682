"""What an inference costs: by a job, by a model, over the jobs of a tag; hardware profiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftline.core.steps import Flow, call, call_json, get, post
from driftline.operations.naming import Named, id_of, path_of


def hardware_profiles() -> Flow[list[Any]]:
    """Return the hardware profiles that ship, each with its sources and what its chip does at best."""
    answer = yield from call_json(get("/v1/hardware-profiles"))
    return list(answer["items"])


def validate_hardware(hardware: str | Mapping[str, Any]) -> Flow[Any]:
    """Check a hardware profile and return what the service understands by it.

    Args:
        hardware: a name, `{"profile": name, "overrides": {...}}`, or a whole profile.

    Raises:
        InvalidRequest: it has faults; all of them are told.
    """
    return (yield from call_json(post("/v1/hardware-profiles/validate", _spec(hardware)).harmless()))


def cost(
    model: Named,
    hardware: str | Mapping[str, Any],
    *,
    rpu_config: Mapping[str, Any] | None = None,
    layers: Mapping[str, Any] | None = None,
    dataset: Named | None = None,
) -> Flow[Any]:
    """Return what an inference of a model costs, from shapes alone; nothing is computed.

    Args:
        model: an uploaded one.
        hardware: the name of a profile, `{"profile": name, "overrides": {...}}`, or a whole profile.
        rpu_config: decides tiles, converters' bits and passes; the defaults if None.
        layers: which layers stay digital, or have a configuration of their own.
        dataset: whose samples say the sizes of inputs that the model's file leaves open.

    Raises:
        InvalidRequest: it has faults; all of them are told.
    """
    body: dict[str, Any] = {
        "model": id_of(model),
        "hardware": _spec(hardware),
        "rpu_config": rpu_config or {},
    }
    if layers is not None:
        body["layers"] = layers
    if dataset is not None:
        body["dataset"] = id_of(dataset)
    return (yield from call_json(post("/v1/cost", body).harmless()))


def job_cost(job: Named, *, profile: str | None = None) -> Flow[Any]:
    """Return what an inference of a job's network costs, by its own hardware or by a profile that ships.

    Args:
        job: whose.
        profile: name of a profile in the place of the job's own hardware.

    Raises:
        Conflict: neither names hardware, or there is no cost to be told.
    """
    return (yield from call_json(get(path_of("jobs", job, "cost"), {"profile": profile})))


def job_cost_as(job: Named, file_format: str, *, profile: str | None = None) -> Flow[bytes]:
    """Return a job's cost as the content of a file: `csv`, `svg`, `png` or `json`."""
    params = {"profile": profile, "format": file_format}
    return (yield from call(get(path_of("jobs", job, "cost"), params))).content


def costs(tag: str) -> Flow[Any]:
    """Return the newest jobs of a tag by what an inference costs and by how well they do."""
    return (yield from call_json(get("/v1/cost", {"tag": tag})))


def _spec(hardware: str | Mapping[str, Any]) -> Mapping[str, Any]:
    return {"profile": hardware} if isinstance(hardware, str) else hardware
