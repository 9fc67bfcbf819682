"""Works that are measured side by side go on one at a time, and are left going."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

from benchmarks import turns
from benchmarks.turns import Contestant, in_turns

# A child of the work does it: 100 times something, each noted with the moment.
WORK = """
import os, sys, time
if os.fork():
    os.wait()
else:
    for _ in range(100):
        sum(range(100_000))
        print(time.time(), flush=True)
"""


def begin():
    process = subprocess.Popen([sys.executable, "-c", WORK], stdout=subprocess.PIPE, text=True)
    return process, Contestant([process.pid], lambda: process.poll() is not None)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_goes_on_at_a_time_with_its_children(monkeypatch):
    monkeypatch.setattr(turns, "_SLICE_S", 0.02)
    works = [begin(), begin()]
    in_turns(one for _, one in works)
    slices = sorted(stretch for _, one in works for stretch in one.slices)
    assert len(slices) > 4
    assert all(first[1] <= second[0] for first, second in pairwise(slices))
    for process, one in works:
        moments = [float(line) for line in process.communicate()[0].split()]
        assert process.returncode == 0
        assert len(moments) == 100
        begun = one.slices[0][0]
        for moment in moments:
            if moment > begun:  # before its first turn it may have begun already
                assert any(start <= moment <= stop for start, stop in one.slices)


def test_only_its_own_time_counts():
    one = Contestant([], lambda: True, [(0.0, 1.0), (2.0, 3.0), (4.0, 5.0)])
    assert one.seconds(0.0, 10.0) == 3.0
    assert one.seconds(0.5, 2.25) == 0.75
    assert one.seconds(1.0, 2.0) == 0.0
