"""What jobs are on is not deleted under them."""

from __future__ import annotations

from collections.abc import Sequence

from app.kit.problems import Conflict, Fault

NAMED_JOBS = 20


def refuse_if_used(kind: str, jobs: Sequence[tuple[str, str]]) -> None:
    """Raise Conflict when there are jobs on the thing.

    Ended ones count: their results and retries refer to it.

    Args:
        kind: what the thing is.
        jobs: (id, state) of the jobs on it, up to `NAMED_JOBS`.
    """
    if not jobs:
        return
    faults = [
        Fault(
            pointer="",
            code="used_by_job",
            message=f"job {job_id} ({state}) is on it",
            hint=f"DELETE /v1/jobs/{job_id}, after cancelling it if it has not ended",
        )
        for job_id, state in jobs
    ]
    raise Conflict(f"the {kind} is used by jobs; delete them first", code="in_use", errors=faults)
