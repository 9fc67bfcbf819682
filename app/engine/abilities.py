"""What a work item requires of a worker, so that no worker takes what it cannot do.

An item's numbers depend on the device and on whether the CPU runs compiled loops, so both are fixed for a
job: the loops when it is submitted, the device then or by its first item.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.db.tables import Job
from app.engine.specification import device_of

AUTO = "auto"


def required(job: Job) -> str:
    """Return what the job's items require: `<device>/<loops>`."""
    device = job.execution.get("device") or device_of(job)
    return f"{device}/{loops_of(job)}"


def loops_of(job: Job) -> str:
    """Return how the CPU computes the job: `compiled` or `plain`."""
    return str(job.execution.get("loops", "compiled"))


def abilities(devices: Iterable[str], loops: Iterable[str]) -> list[str]:
    """Return all that a worker with these devices and loops is able to do."""
    return [f"{device}/{loop}" for device in (AUTO, *devices) for loop in loops]
