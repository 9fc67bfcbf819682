"""Token buckets against their closed form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.usage.buckets import AT_ONCE_S, Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(
    st.floats(0.5, 50),
    st.lists(st.floats(0, 5), min_size=1, max_size=200),
)
def test_no_stretch_of_time_grants_more_than_the_bucket_and_its_rate(rate, pauses):
    clock, granted = Clock(), []
    buckets = Buckets(clock)
    for pause in pauses:
        clock.now += pause
        if buckets.draw("a", rate).is_granted:
            granted.append(clock.now)
    for number, begin in enumerate(granted):
        for count, end in enumerate(granted[number:], start=1):
            assert count <= max(1.0, rate * AT_ONCE_S) + (end - begin) * rate + 1e-6


def test_a_client_that_waits_as_told_is_granted():
    clock = Clock()
    buckets = Buckets(clock)
    while (draw := buckets.draw("a", 2.0)).is_granted:
        pass
    assert (draw.left, draw.size, draw.window_s) == (0, 20, 10.0)
    assert draw.wait_s == 0.5
    assert draw.fields() == {"RateLimit-Policy": '"requests";q=20;w=10', "RateLimit": '"requests";r=0;t=1'}
    clock.now += draw.wait_s
    assert buckets.draw("a", 2.0).is_granted
    assert not buckets.draw("a", 2.0).is_granted


def test_each_project_has_a_bucket_of_its_own():
    buckets = Buckets(Clock())
    while buckets.draw("a", 1.0).is_granted:
        pass
    assert buckets.draw("b", 1.0).is_granted
