"""Exit codes, which mean something to scripts."""

from __future__ import annotations

from typing import Final

from driftline.errors import (
    DriftlineError,
    JobFailed,
    NotFound,
    ServerError,
    ServiceUnreachable,
    TooManyRequests,
    UnknownName,
)

OK: Final = 0
JOB_FAILED: Final = 1
REFUSED: Final = 2
NOT_FOUND: Final = 3
UNREACHABLE: Final = 4
INTERRUPTED: Final = 130


def of(error: DriftlineError) -> int:
    """Return the exit code of an error."""
    if isinstance(error, JobFailed):
        return JOB_FAILED
    if isinstance(error, NotFound | UnknownName):
        return NOT_FOUND
    if isinstance(error, ServiceUnreachable | ServerError | TooManyRequests):
        return UNREACHABLE
    return REFUSED
