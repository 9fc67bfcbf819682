"""Arrays from a file of a stranger, whatever its format, and the names of classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulator.data.arrays import MAX_BYTES, read_npz
from simulator.data.errors import reject
from simulator.data.tables import Table, read_csv, read_parquet
from simulator.data.tensors import read_safetensors


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        arrays: numeric arrays by name.
        class_names: of labels that were words, in the order of their numbers; None for numbers.
        doubts: what of the file was probably not meant.
    """

    arrays: dict[str, np.ndarray]
    class_names: tuple[str, ...] | None = None
    doubts: tuple[str, ...] = ()


def _table(
    read: Callable[..., Table],
) -> Callable[..., Contents]:
    return lambda path, max_bytes: Contents(*read(path, max_bytes=max_bytes))


READERS: dict[str, Callable[..., Contents]] = {
    "npz": lambda path, max_bytes: Contents(read_npz(path, max_bytes=max_bytes)),
    "safetensors": lambda path, max_bytes: Contents(read_safetensors(path, max_bytes=max_bytes)),
    "parquet": _table(read_parquet),
    "csv": _table(read_csv),
}
FORMATS = tuple(READERS)


def read(path: Path, file_format: str, *, max_bytes: int = MAX_BYTES) -> Contents:
    """Return what a dataset file holds.

    Args:
        path: the file.
        file_format: one of `FORMATS`.
        max_bytes: of all arrays together, in memory.

    Raises:
        DatasetRejectedError: it is not such a file, is too large, or has something else than numbers.
    """
    if file_format not in READERS:
        raise reject("unsupported_format", f"datasets come as {', '.join(FORMATS)}, not {file_format[:20]!r}")
    return READERS[file_format](path, max_bytes)
