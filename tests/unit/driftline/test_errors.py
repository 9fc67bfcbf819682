from __future__ import annotations

import pytest

import driftline
from driftline.errors import ApiError, DriftlineError, JobFailed, api_error

PROBLEM = {
    "code": "invalid_request",
    "detail": "the request has 2 faults",
    "request_id": "r1",
    "errors": [
        {
            "pointer": "/seed",
            "code": "int_type",
            "message": "this has to be a whole number",
            "hint": "write 7",
        },
        {"pointer": "/model", "code": "missing", "message": "Field required"},
    ],
}


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequest"), (401, "Unauthorized"), (403, "Forbidden"), (404, "NotFound"), (409, "Conflict"),
        (410, "Gone"), (412, "PreconditionFailed"), (413, "TooLarge"), (415, "UnsupportedMediaType"),
        (422, "InvalidRequest"), (429, "TooManyRequests"), (500, "ServerError"), (503, "ServiceUnavailable"),
        (507, "StorageFull"), (418, "ApiError"), (599, "ServerError"),
    ],
)  # fmt: skip
def test_each_status_has_its_exception(status, name):
    error = api_error(status, PROBLEM)
    assert type(error) is getattr(driftline, name)
    assert isinstance(error, ApiError)
    assert error.status == status


def test_every_fault_is_carried_and_printed():
    error = api_error(422, PROBLEM)
    assert [fault.pointer for fault in error.faults] == ["/seed", "/model"]
    assert (error.code, error.request_id) == ("invalid_request", "r1")
    assert str(error).splitlines() == [
        "the request has 2 faults (422 invalid_request)",
        "  /seed: this has to be a whole number (write 7)",
        "  /model: Field required",
    ]


def test_a_fault_that_repeats_the_detail_is_printed_once():
    told = {
        "code": "conflict",
        "detail": "it has ended",
        "errors": [{"pointer": "", "code": "x", "message": "it has ended", "hint": "retry it"}],
    }
    assert str(api_error(409, told)) == "it has ended (409 conflict)\n  retry it"


@pytest.mark.parametrize(
    "problem", [{}, {"errors": None}, {"errors": ["text"]}, {"detail": None, "title": "Wrong"}]
)
def test_a_problem_in_another_form_is_an_exception_too(problem):
    assert "(400 http_error)" in str(api_error(400, problem))


JOB = {"id": "j1", "name": "digits", "state": "failed", "phase": "finetune"}


def test_a_failure_is_told_in_plain_words():
    failure = {
        "code": "non_finite_loss",
        "message": "the loss is NaN; lower the learning rate",
        "retryable": False,
    }
    error = JobFailed({**JOB, "failure": failure})
    assert str(error) == (
        "the job 'digits' (j1) failed while fine-tuning: "
        "the loss is NaN; lower the learning rate (non_finite_loss)"
    )
    assert error.job["id"] == "j1"
    again = JobFailed({**JOB, "phase": None, "failure": {**failure, "retryable": True}})
    assert str(again).endswith("; a retry may help")


def test_a_cancelled_job_is_told_as_that():
    told = str(JobFailed({**JOB, "name": None, "state": "cancelled", "failure": None}))
    assert told == "the job j1 was cancelled; the cells that it had computed are in its results"


def test_one_class_catches_all():
    for name in driftline.__all__:
        kind = getattr(driftline, name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert issubclass(kind, DriftlineError)
