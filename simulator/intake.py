"""What reading users' bytes has in common: faults, the error that carries them, limits of a child process.

Models and datasets are read in a child process that takes its limits before it reads anything. It prints
one JSON object, the report or the error, and says with its exit status which of the two it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

MEMORY_BYTES = 2 << 30
CPU_SECONDS = 20
EXIT_OK = 0
EXIT_REJECTED = 3


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with what was handed in.

    Attributes:
        code: the kind of fault, stable, for programs.
        message: what is wrong and where, for people.
        hint: what to do about it.
        pointer: JSON pointer to the faulty part, where there is one.
    """

    code: str
    message: str
    hint: str | None = None
    pointer: str | None = None

    def to_json(self) -> dict[str, str]:
        """Return the fault as an entry of `errors` of a problem document."""
        entry = {"pointer": self.pointer, "code": self.code, "message": self.message, "hint": self.hint}
        return {key: value for key, value in entry.items() if value is not None}


class IntakeError(ValueError):
    """Bytes were refused; says why, all faults at once.

    Attributes:
        code: the code of the refusal as a whole.
        message: one sentence about the refusal as a whole.
        faults: each fault found, at least one.
    """

    def __init__(
        self, code: str, message: str, faults: Sequence[Fault] = (), hint: str | None = None
    ) -> None:
        self.code = code
        self.message = message
        self.faults = tuple(faults) or (Fault(code, message, hint),)
        super().__init__(message)

    def to_json(self) -> dict[str, Any]:
        """Return the error as the API's problem documents hold it."""
        return {"code": self.code, "message": self.message, "errors": [f.to_json() for f in self.faults]}


def limit_this_process(memory_bytes: int = MEMORY_BYTES, cpu_s: int = CPU_SECONDS) -> None:
    """Limit this process's address space and CPU time, as far as the system knows such limits.

    Linux enforces both. macOS enforces the CPU time alone; there the caller's wall-clock limit and the
    checks before every allocation have to do.
    """
    try:
        import resource
    except ImportError:  # a system without these limits
        return
    for limit, value in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, cpu_s)):
        _, hard = resource.getrlimit(limit)
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses RLIMIT_AS
            resource.setrlimit(limit, (soft, hard))


def _memory_limit() -> int:
    """Return the bytes of memory that this process may take."""
    try:
        import resource
    except ImportError:
        return MEMORY_BYTES
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return MEMORY_BYTES if soft == resource.RLIM_INFINITY else soft


def keep_libraries_single_threaded() -> None:
    """Keep numerical libraries from reserving address space per core; call it before they are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def answer(read: Callable[[], dict[str, Any]], *, too_large: str) -> int:
    """Print what `read` reports as JSON, or its error; return the exit status of the process.

    Args:
        read: returns the report, or raises `IntakeError`.
        too_large: the code of a file that takes too much memory.
    """
    try:
        report = read()
    except IntakeError as error:
        return _refuse(error)
    except MemoryError:
        message = f"reading the file takes more than {_memory_limit() >> 20} MiB of memory"
        return _refuse(IntakeError(too_large, message))
    json.dump(report, sys.stdout, allow_nan=False)
    sys.stdout.write("\n")
    return EXIT_OK


def _refuse(error: IntakeError) -> int:
    json.dump({"error": error.to_json()}, sys.stdout, allow_nan=False)
    sys.stdout.write("\n")
    return EXIT_REJECTED
