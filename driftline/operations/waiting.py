"""Waiting for jobs: by long polls, through restarts of the service."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from driftline.core.retries import pause_s
from driftline.core.steps import Flow, Sleep, call, get
from driftline.errors import ApiError, JobFailed, ServerError, ServiceUnreachable, WaitTimeout
from driftline.operations.naming import Named, id_of, path_of
from driftline.progress import shown
from driftline.resources.jobs import FINAL_STATES, JobRecord

LONGEST_POLL_S: Final = 30.0
PATIENCE_S: Final = 600.0
_SHORTEST_ROUND_S: Final = 0.2


def wait(
    job: Named,
    *,
    timeout_s: float | None = None,
    progress: bool = True,
    on_change: Callable[[JobRecord], None] | None = None,
    raise_on_failure: bool = True,
) -> Flow[Any]:
    """Wait until the job has ended and return it.

    The service answers when something changes, so nothing is polled in vain; a service that restarts is
    waited for, ten minutes at most.

    Args:
        job: which one.
        timeout_s: how long to wait at most; None waits for as long as it takes.
        progress: show a bar, on a terminal or in a notebook.
        on_change: hears of every change that was seen.
        raise_on_failure: raise if the job did not succeed.

    Raises:
        JobFailed: the job failed or was cancelled; the message says why.
        WaitTimeout: the time is up; the job goes on.
        ServiceUnreachable: the service is gone for too long.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    watch = Watch(id_of(job))
    with shown(wanted=progress) as bar:
        while True:
            left_s = LONGEST_POLL_S if deadline is None else deadline - time.monotonic()
            changed = yield from watch.look(max(0.0, min(left_s, LONGEST_POLL_S)))
            if changed:
                bar.update(watch.job)
                if on_change is not None:
                    on_change(JobRecord(watch.job))
            if watch.has_ended:
                break
            if deadline is not None and time.monotonic() >= deadline:
                state = watch.job["state"]
                raise WaitTimeout(
                    f"after {timeout_s:g} s the job {watch.job_id} is still {state}; it goes on"
                )
    if raise_on_failure and watch.job["state"] != "succeeded":
        raise JobFailed(watch.job)
    return watch.job


class Watch:
    """A job that is looked at again and again.

    Attributes:
        job_id: which one.
        job: as it was last seen; empty before that.
    """

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.job: dict[str, Any] = {}
        self._etag = ""
        self._patience = Patience()

    @property
    def has_ended(self) -> bool:
        """Whether the job was seen to have ended."""
        return self.job.get("state") in FINAL_STATES

    def look(self, wait_s: float) -> Flow[bool]:
        """Look at the job, waiting for a change for so long; tell whether there is one.

        A service that was there and is away is waited for; False then, too.
        """
        request = get(path_of("jobs", self.job_id))
        if self._etag:
            headers = {"If-None-Match": self._etag}
            request = replace(
                request, params={"wait": round(wait_s, 3)}, headers=headers, extra_wait_s=wait_s
            )
        try:
            response = yield from call(request)
        except (ServiceUnreachable, ServerError) as error:
            if not self.job:
                raise
            yield Sleep(self._patience.pause_s(error))
            return False
        self._patience = Patience()
        if response.status_code == 304:
            return False
        self._etag = response.headers.get("etag", "")
        self.job = response.json()
        if not self._etag:  # without a tag there is nothing to wait for
            yield Sleep(_SHORTEST_ROUND_S)
        return True


class Patience:
    """How long a service that was there and is away is waited for."""

    def __init__(self) -> None:
        self._until = time.monotonic() + PATIENCE_S
        self._pauses = 0

    def pause_s(self, error: Exception) -> float:
        """Return the pause before the next attempt; raise the error once there is no patience left."""
        if time.monotonic() > self._until:
            raise error
        self._pauses += 1
        asked_s = error.retry_after_s if isinstance(error, ApiError) else None
        return pause_s(self._pauses, asked_s)
