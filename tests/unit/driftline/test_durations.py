from __future__ import annotations

from datetime import timedelta

import pytest

from driftline import InvalidInput, seconds
from driftline.durations import all_seconds
from driftline.times import in_table


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (1, 1.0), (0, 0.0), (2.5, 2.5), ("1 s", 1.0), ("0", 0.0), ("30", 30.0), ("1s", 1.0), ("90 min", 5400.0),
        ("90 minutes", 5400.0), ("1 h", 3600.0), ("2 hours", 7200.0), ("1 day", 86400.0), ("1.5 days", 129600.0),
        ("1 week", 604800.0), ("1 month", 2592000.0), ("1 year", 31536000.0), ("10 years", 315360000.0), ("year", 31536000.0),
        ("1e3 s", 1000.0), ("  1 H ", 3600.0), ("100 ms", 0.1), (".5 h", 1800.0), (timedelta(days=1), 86400.0),
    ],
)  # fmt: skip
def test_durations_are_seconds(written, expected):
    assert seconds(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        "soon",
        "1 fortnight",
        "1 h 30 min",
        "h1",
        "-1 s",
        -1,
        float("nan"),
        float("inf"),
        True,
        None,
        [1],
        "1 M",
    ],
)
def test_what_is_no_duration_is_told(written):
    with pytest.raises(InvalidInput) as told:
        seconds(written)
    assert repr(written) in str(told.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(InvalidInput) as told:
        all_seconds(["1 s", "soon", "1 fortnight"])
    assert "'soon'" in str(told.value)
    assert "'1 fortnight'" in str(told.value)


def test_one_duration_is_taken_for_a_list_of_one():
    assert all_seconds("1 h") == [3600.0]
    assert all_seconds(60) == [60.0]


@pytest.mark.parametrize(
    ("time_s", "expected"),
    [
        (0, "0 s"),
        (1, "1 s"),
        (5400, "1.5 h"),
        (86400, "1 day"),
        (100_000, "100,000 s"),
        (315_360_000, "10 years"),
        (0.5, "0.5 s"),
    ],
)
def test_tables_have_times_that_mean_exactly_that(time_s, expected):
    assert in_table(time_s) == expected
