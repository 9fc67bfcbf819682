"""Two works of minutes side by side on a machine whose speed changes: each goes on for a second at a time.

While one goes on, the processes of the other are stopped, so that both meet the same machine. A timer of a
stopped process goes on, which shortens its waits; neither work should wait for timers. Linux only.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_SLICE_S = 1.0
_LOOK_S = 0.002


@dataclass
class Contestant:
    """A work that has begun.

    Attributes:
        roots: the processes that do it, with their children.
        is_done: whether it has ended.
        slices: begin and end of the times when it went on, in s since the epoch.
    """

    roots: list[int]
    is_done: Callable[[], bool]
    slices: list[tuple[float, float]] = field(default_factory=list)

    def seconds(self, begin: float, end: float) -> float:
        """Return how long it went on between two moments."""
        return sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in self.slices)


def in_turns(contestants: Iterable[Contestant]) -> None:
    """Let works go on in turns until all are done."""
    all_ = list(contestants)
    try:
        for one in all_:
            _stop(one.roots)
        while not all(one.is_done() for one in all_):
            for one in all_:
                if not one.is_done():
                    _let(one)
    finally:
        for one in all_:
            _continue(one.roots)


def _let(one: Contestant) -> None:
    """Let a work go on for a slice, or until it is done."""
    start = _continue(one.roots)
    while time.time() < start + _SLICE_S and not one.is_done():
        time.sleep(_LOOK_S)
    one.slices.append((start, _stop(one.roots)))


def _continue(roots: list[int]) -> float:
    """Let stopped processes and their children go on, and return since when."""
    stopped = _tree(roots)
    since = time.time()
    _signal(stopped, signal.SIGCONT)
    return since


def _stop(roots: list[int]) -> float:
    """Stop processes and their children; return when the last of them stood still."""
    while going := [pid for pid in _tree(roots) if _goes_on(pid)]:
        _signal(going, signal.SIGSTOP)
        time.sleep(0)  # a signal takes a moment to arrive, and a child may have begun before it did
    return time.time()


def _goes_on(pid: int) -> bool:
    """Tell whether a process is neither stopped nor at its end."""
    try:
        return _fields(Path(f"/proc/{pid}/stat"))[0] not in "TtZX"
    except OSError:
        return False


def _signal(processes: Iterable[int], what: signal.Signals) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, what)


def _tree(roots: list[int]) -> set[int]:
    children: Mapping[int, list[int]] = _children()
    found, left = set(), list(roots)
    while left:
        pid = left.pop()
        found.add(pid)
        left += children.get(pid, [])
    return found


def _children() -> dict[int, list[int]]:
    """Return the children of all processes."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children.setdefault(int(_fields(status)[1]), []).append(int(status.parent.name))
    return children


def _fields(status: Path) -> list[str]:
    """Return the fields of a process's status behind its name, which may hold anything: state, parent, ..."""
    return status.read_text().rpartition(")")[2].split()
