from __future__ import annotations

import ctypes
import subprocess
import sys
import types

import pytest

from simulator import memory

# Large arrays are made and freed over and over; numpy takes its memory where torch does, and starts faster.
PAGE_FAULTS = """
import resource, numpy
from simulator.memory import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for round in range(2):
    before = faults()
    for _ in range(10):
        numpy.ones(8 << 20, numpy.float32)
print(faults() - before)
"""


def has_glibc() -> bool:
    if sys.platform != "linux":
        return False
    return hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def page_faults(*, keep: bool) -> int:
    program = PAGE_FAULTS.format(keep=keep)
    return int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout)


@pytest.mark.skipif(not has_glibc(), reason="only glibc gives memory back at once")
def test_freed_memory_is_used_again():
    assert page_faults(keep=True) < 0.1 * page_faults(keep=False)


def test_other_systems_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory.keep_freed_memory() is False


def test_another_c_library_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: types.SimpleNamespace())
    assert memory.keep_freed_memory() is False


def test_a_refused_option_is_told(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: types.SimpleNamespace(mallopt=lambda *_: 0))
    assert memory.keep_freed_memory() is False
