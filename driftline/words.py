"""Numbers and states in words, the same in notebooks and on terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from driftline.quantities import band

_PHASES: Final = {
    "verify": "verifying the import",
    "calibrate": "calibrating input ranges",
    "finetune": "fine-tuning",
    "baseline": "evaluating digitally",
    "evaluate": "evaluating chips",
    "describe": "describing layers",
    "analyse": "analysing",
}
_REASONS: Final = {
    "no_worker": "no worker is running",
    "no_worker_is_able": "no worker can do it",
    "workers_take_no_work": "the workers take no work",
    "workers_are_busy": "the workers are busy",
}


def doing(job: Mapping[str, Any]) -> str:
    """Say in a few words what a job does."""
    state = job["state"]
    if state == "queued":
        queue = job.get("queue") or {}
        reason = _REASONS.get(queue.get("reason", ""))
        return f"queued ({reason})" if reason else "queued"
    return phase(job) if state == "running" and job.get("phase") else str(state)


def phase(job: Mapping[str, Any]) -> str:
    """Say what a job began last; empty where it has begun nothing."""
    name = job.get("phase") or ""
    return _PHASES.get(name, name)


def number(value: float | None, metric: str) -> str:
    """Return a value of a metric: accuracies in percent, the others with four digits."""
    if value is None:
        return "-"
    return f"{100 * value:z.2f} %" if "accuracy" in metric else f"{value:z.4g}"


def signed(value: float | None, metric: str) -> str:
    """Return a difference of a metric: of accuracies in percentage points."""
    if value is None:
        return "-"
    return f"{100 * value:+z.2f}" if "accuracy" in metric else f"{value:+z.4g}"


def interval(bounds: Sequence[float] | None, metric: str) -> str:
    """Return an interval of a metric."""
    if not bounds:
        return "-"
    if "accuracy" in metric:
        return f"{100 * bounds[0]:z.2f} to {100 * bounds[1]:z.2f}"
    return f"{bounds[0]:z.4g} to {bounds[1]:z.4g}"


def interval_of_mean(point: Mapping[str, Any], metric: str) -> str:
    """Return the interval of a mean over chips, of which an accuracy below 0 or above 1 is left out."""
    ends = point.get("ci95_adaptive") or point.get("ci95")
    if ends and "accuracy" in metric:
        ends = [min(max(end, 0.0), 1.0) for end in ends]
    return interval(ends, metric)


def interval_of(estimate: Mapping[str, Any], metric: str) -> str:
    """Return the interval of an estimate; of chips in waves, the one that stays valid."""
    return interval(estimate.get("ci95_adaptive") or estimate.get("ci95"), metric)


def place(layer: Mapping[str, Any]) -> str:
    """Say where a layer is computed, and why if not on tiles."""
    reason = layer.get("reason")
    return "on tiles" if layer["kind"] == "analog" else "digitally" + (f" ({reason})" if reason else "")


def sizes(shape: Sequence[Any] | None) -> str:
    """Return a shape such as "8 x 1 x 3 x 3"."""
    return "" if shape is None else " x ".join("any" if size is None else str(size) for size in shape)


def shape(tensors: Sequence[Mapping[str, Any]]) -> str:
    """Return the names and shapes of a network's inputs or outputs."""
    return ", ".join(f"{one['name']} [{sizes(one.get('shape'))}]" for one in tensors)


def estimate_told(estimate: Mapping[str, Any]) -> str:
    """Say what a job would be."""
    cached = f", {estimate['cached_cells']:,} of them known already" if estimate["cached_cells"] else ""
    seconds = estimate["estimated_seconds"]
    time = "" if seconds is None else f"; about {seconds:,.0f} s on one worker"
    hardware = f"{estimate['tiles']:,} tiles, {estimate['devices']:,} devices"
    found = estimate.get("cost")
    cost = (
        "" if found is None else f"; an inference costs {band(found['energy_j'], 'J')} by {found['profile']}"
    )
    return f"{hardware}, {estimate['cells']:,} cells{cached}{time}{cost}"
