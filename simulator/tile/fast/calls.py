"""How a compiled loop is called: its tasks, the threads that take them, and the memory that they share.

A kernel's work is cut into tasks, and the threads that torch computes with take them one after another. They
are those of OpenMP, which wait for work in a spinning loop: threads of our own would compete with them.
Without OpenMP the calling thread does it all. The tasks do not depend on the number of threads.
"""

from __future__ import annotations

import ctypes
import struct
from functools import lru_cache
from typing import Any

import numpy as np
import torch

_FOUND = struct.Struct("@qqd")


class Kernel:
    """A compiled loop over tasks.

    Args:
        fields: the arguments by name, with their types: `P` an address, `q` an integer, `d` a number.
        share: takes tasks until none is left; compiled, its argument is the address of the call's memory.
    """

    def __init__(self, fields: dict[str, str], share: Any) -> None:
        self._struct = struct.Struct("@qqqd" + "".join(fields.values()))
        self._memory = ctypes.c_char * self._struct.size
        self._address = ctypes.c_void_p(share.address)
        self._alone = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(share.address)

    def __call__(self, tasks: int, *arguments: float) -> tuple[int, float]:
        """Run the tasks, and return what they have counted and added up."""
        if tasks == 0:
            return 0, 0.0
        memory = self._memory()
        self._struct.pack_into(memory, 0, 0, 0, 0, 0.0, *arguments)
        threads = 1 if tasks == 1 else min(tasks, torch.get_num_threads())
        together = _openmp() if threads > 1 else None
        if together is None:
            self._alone(ctypes.addressof(memory))
        else:
            together(self._address, memory, threads, 0)
        counted, _, total = _FOUND.unpack_from(memory, 8)
        return counted, total


@lru_cache(maxsize=1)
def _openmp() -> Any:
    """Return OpenMP's entry point of the process, which is torch's; None where there is none."""
    try:
        run = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return None
    run.restype = None
    run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    return run


def layout(fields: dict[str, str]) -> np.dtype[np.void]:
    """Return a call's memory as compiled code sees it: an address is an integer there."""
    kinds = {"P": np.int64, "q": np.int64, "d": np.float64}
    shared = [("next", np.int64), ("count", np.int64), ("done", np.int64), ("total", np.float64)]
    return np.dtype([*shared, *((name, kinds[kind]) for name, kind in fields.items())])
