"""When a request is sent again: reads always, writes only where a repetition is done once."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from driftline.core.steps import Flow, Request, Send, Sleep, foreign
from driftline.errors import ApiError, ServiceUnreachable, api_error

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 8.0
LONGEST_RETRY_AFTER_S = 120.0
_PASSING = frozenset({408, 429, 502, 503, 504})
_IN_PROGRESS = "idempotency_key_in_progress"


def answered(request: Request, retries: int) -> Flow[httpx.Response]:
    """Send a request until it is answered with success, `retries` times again at most.

    A request that could not be sent at all is always sent again: nothing can have come of it.

    Raises:
        ApiError: the service answered with a problem that a repetition does not solve, or not soon.
        ServiceUnreachable: it did not answer.
    """
    left = retries
    while True:
        error: Exception
        try:
            response: httpx.Response = yield Send(request)
        except httpx.RequestError as failure:
            may_repeat = request.repeatable or isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout)
            error = unreachable(failure)
            asked_s = None
        else:
            if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
                return response
            error = problem_of(response)
            passing = response.status_code in _PASSING or error.code == _IN_PROGRESS
            asked_s = error.retry_after_s
            may_repeat = request.repeatable and passing and (asked_s or 0.0) <= LONGEST_RETRY_AFTER_S
        if not may_repeat or left <= 0:
            raise error
        yield Sleep(pause_s(retries - left, asked_s))
        left -= 1


def pause_s(number: int, asked_s: float | None = None) -> float:
    """Return the pause before the `number`th repetition, from 0: longer each time, never all clients at once.

    Args:
        number: how many repetitions there were.
        asked_s: what `Retry-After` asks for: no less.
    """
    longest = min(FIRST_PAUSE_S * 2.0 ** min(number, 20), LONGEST_PAUSE_S)
    return max(asked_s or 0.0, random.uniform(longest / 2, longest))  # noqa: S311 - no secret


def problem_of(response: httpx.Response) -> ApiError:
    """Return the exception of an unsuccessful answer."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    asked_s = retry_after_s(response.headers.get("retry-after"))
    if isinstance(problem, dict):
        return api_error(response.status_code, problem, asked_s)
    error = foreign(response)  # a proxy, perhaps, whose service restarts
    error.retry_after_s = asked_s
    return error


def retry_after_s(header: str | None) -> float | None:
    """Return the seconds that `Retry-After` asks for, as a number or a date; None if it says nothing."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def unreachable(failure: httpx.RequestError) -> ServiceUnreachable:
    """Return the exception of a service that does not answer."""
    url = failure.request.url
    reason = str(failure) or type(failure).__name__
    return ServiceUnreachable(
        f"the service does not answer at {url.scheme}://{url.netloc.decode()} ({reason}); is it running? "
        "`driftline up` starts one on this machine, and DRIFTLINE_URL says where another one is"
    )
