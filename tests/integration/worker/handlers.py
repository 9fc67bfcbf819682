"""Handlers of work items that do what a test asks of them, in place of the real ones.

An item's payload says what its runner does: `does` has an entry for each attempt, the last one for all that
follow, and `folder` is where the runner leaves marks for the test.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from app.engine import recording
from worker.runner.context import InputGone, ItemContext, ItemFailedError

KIND = "fake"
TOO_MUCH_BYTES = 8 << 30
_FOREVER_S = 600.0
_STEP_S = 0.02
_MOMENT_S = 0.6
_handled: list[str] = []  # by this process


def handle(item: ItemContext) -> None:
    """Leave a mark with the runner's process id and do what this attempt is to do."""
    mark(item, "started")
    _handled.append(item.lease.key)
    does = item.payload["does"]
    _BEHAVIOURS[does[min(item.lease.attempt, len(does)) - 1]](item)


def mark(item: ItemContext, what: str) -> None:
    name = f"{item.lease.key}.{what}.{item.lease.attempt}.{os.getpid()}"
    Path(item.payload["folder"], name).touch()


def succeed(item: ItemContext) -> None:
    item.write(recording.save_warning, code="fake", message="written by a runner")


def work(item: ItemContext) -> None:
    """Work until the test says that it is enough, asking whether to stop as real handlers do."""
    enough = Path(item.payload["folder"], "enough")
    _wait(enough.exists, item.check_stop)


def pause(item: ItemContext) -> None:
    """Work for a moment."""
    end = time.monotonic() + _MOMENT_S
    _wait(lambda: time.monotonic() > end, item.check_stop)


def write_when_told(item: ItemContext) -> None:
    """Ask nothing; write when the test says that it is enough."""
    enough = Path(item.payload["folder"], "enough")
    _wait(enough.exists)
    mark(item, "writing")
    succeed(item)


def hang(_: ItemContext) -> None:
    _wait(lambda: False)


def ignore_sigterm(item: ItemContext) -> None:
    signal.signal(signal.SIGTERM, lambda *_: mark(item, "heard-sigterm"))
    mark(item, "deaf")
    hang(item)


def be_killed(_: ItemContext) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(_: ItemContext) -> None:
    os._exit(3)


def raise_memory_error(_: ItemContext) -> None:
    raise MemoryError


def need_a_fresh_process(item: ItemContext) -> None:
    """Run out of memory in a process that has done another item before."""
    if len(_handled) > 1:
        raise MemoryError
    succeed(item)


def allocate(_: ItemContext) -> None:
    bytearray(TOO_MUCH_BYTES)


def fail(_: ItemContext) -> None:
    raise ItemFailedError("non_finite_loss", "the loss is not finite")


def err(_: ItemContext) -> None:
    raise KeyError("a fault of the program")


def find_storage_full(_: ItemContext) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def miss_input(item: ItemContext) -> None:
    raise InputGone(item.payload["source"])


def _wait(is_over: Callable[[], bool], look: Callable[[], None] = lambda: None) -> None:
    end = time.monotonic() + _FOREVER_S
    while not is_over() and time.monotonic() < end:
        look()
        time.sleep(_STEP_S)


_BEHAVIOURS: dict[str, Callable[[ItemContext], None]] = {
    one.__name__: one
    for one in (
        succeed, work, write_when_told, hang, ignore_sigterm, be_killed, leave, raise_memory_error, allocate, fail,
        err, find_storage_full, miss_input, need_a_fresh_process, pause,
    )
}  # fmt: skip
