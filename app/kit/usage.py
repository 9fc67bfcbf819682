"""Models and datasets that jobs use are not deleted."""

from __future__ import annotations

from collections.abc import Sequence

from app.kit.problems import Conflict, Fault

NAMED_JOBS = 20


def refuse_if_used(kind: str, jobs: Sequence[tuple[str, str]]) -> None:
    """Raise Conflict when jobs use the resource.

    Jobs that have ended count: their results and retries refer to it.

    Args:
        kind: what the resource is.
        jobs: (id, state) of the jobs that use it, up to `NAMED_JOBS`.
    """
    if not jobs:
        return
    faults = [
        Fault(
            pointer="",
            code="used_by_job",
            message=f"job {job_id} ({state}) uses it",
            hint=f"DELETE /v1/jobs/{job_id}, after cancelling it if it has not ended",
        )
        for job_id, state in jobs
    ]
    raise Conflict(f"the {kind} is used by jobs; delete them first", code="in_use", errors=faults)
