"""Numbers, times and states in words."""

from __future__ import annotations

import pytest

from app.pages import words
from driftline import words as client_words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.5, "0.5 s"), (1, "1 s"), (60, "1 min"), (3600, "1 h"), (86400, "1 day"), (129600, "1.5 days"),
     (604800, "1 week"), (2592000, "1 month"), (31536000, "1 year"), (315360000, "10 years")],
)  # fmt: skip
def test_times_are_in_the_largest_unit_that_they_fill(seconds, said):
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.01, "about 1 s"),
        (39.2, "about 40 s"),
        (100, "about 2 min"),
        (7200, "about 2 h"),
        (200_000, "about 2 days"),
    ],
)
def test_what_is_left_is_said_roughly(seconds, said):
    assert words.about(seconds) == said


def test_metrics():
    assert words.metric(0.9512, "accuracy") == "95.1 %"
    assert words.metric(12.3456, "perplexity") == "12.35"
    assert words.metric(None, "mse") == "not finite"
    assert words.interval((0.9471, 0.954), "accuracy") == "94.7 to 95.4"
    assert words.interval(None, "accuracy") == ""
    assert words.difference(-0.0123, "accuracy") == "-1.23 points"


def test_nothing_has_no_sign():
    assert words.difference(-1e-9, "accuracy") == "+0.00 points"
    assert words.metric(-1e-9, "accuracy") == "0.0 %"
    assert client_words.signed(-1e-9, "accuracy") == "+0.00"
    assert client_words.interval((-1e-9, 0.5), "accuracy") == "0.00 to 50.00"


def test_values_of_configurations():
    assert words.value({"a": [1.0, True, None, "x"]}) == "{a: [1, yes, none, x]}"
    assert words.field("/forward/a~1b") == "forward.a/b"


@pytest.mark.parametrize(("number", "said"), [(5, "5 B"), (178_221, "178 kB"), (3_400_000, "3.4 MB")])
def test_sizes(number, said):
    assert words.size(number) == said


@pytest.mark.parametrize(
    ("metric", "ends", "said"),
    [
        ("accuracy", (0.914, 1.073), "91.4 to 100.0"),
        ("accuracy", (-0.2, 0.5), "0.0 to 50.0"),
        ("mse", (-0.02, 0.3), "0 to 0.3"),
        ("perplexity", (0.5, 7.0), "1 to 7"),
    ],
)
def test_an_interval_of_a_mean_stays_within_what_the_metric_can_be(metric, ends, said):
    assert words.mean_interval(ends, metric) == said
