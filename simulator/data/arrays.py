"""Arrays from an `.npz` file of a stranger: never pickles, and never more memory than was allowed."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from simulator.data.errors import DatasetRejectedError, reject
from simulator.intake import Fault

MAX_BYTES = 1 << 30
MAX_ARRAYS = 64
_NUMERIC = "biuf"
_HINT = "write it with numpy.savez_compressed(path, x_train=..., y_train=..., x_test=..., y_test=...)"


def read_npz(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """Return the numeric arrays of an `.npz` file by name.

    Args:
        path: the file.
        max_bytes: of all arrays together, uncompressed; checked before anything is read.

    Raises:
        DatasetRejectedError: it is not an `.npz` file, is too large, or has arrays that are not numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(members, max_bytes)
            arrays = {}
            faults: list[Fault] = []
            for member in members:
                name = member.filename.removesuffix(".npy")
                try:
                    arrays[name] = _read_member(archive, member, name)
                except DatasetRejectedError as error:
                    faults += error.faults
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise reject("not_npz", f"this is not a whole .npz file: {error}", _HINT) from error
    if faults:
        raise DatasetRejectedError(faults)
    if not arrays:
        raise reject("empty_dataset", "the file has no arrays", _HINT)
    return arrays


def _check_members(members: list[zipfile.ZipInfo], max_bytes: int) -> None:
    if len(members) > MAX_ARRAYS:
        raise reject("too_large", f"the file has {len(members)} members, more than {MAX_ARRAYS}")
    total = sum(member.file_size for member in members)
    if total > max_bytes:
        raise reject("too_large", f"the arrays are {total} bytes uncompressed, more than {max_bytes}")
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise reject("not_npz", "the file has two members of the same name", _HINT)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> np.ndarray:
    with archive.open(member) as file:
        try:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(file)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
            raise reject("not_npz", f"{name[:100]!r} is not a NumPy array: {error}", _HINT) from error
        if dtype.kind not in _NUMERIC or dtype.itemsize > 8:
            message = (
                f"{name[:100]!r} has dtype {dtype}; booleans, integers and floats up to 64 bits are read"
            )
            raise reject("bad_dtype", message, _hint_for(dtype))
        data = file.read()
    # The header of a hostile file may promise any shape; the bytes that are there decide.
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data):
        raise reject("not_npz", f"{name[:100]!r} promises shape {shape} and has {len(data)} bytes", _HINT)
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _hint_for(dtype: np.dtype) -> str:
    """Return how an array of a type that is not read becomes one that is."""
    if dtype.kind in "USO":
        return (
            "number the words, for example with numpy.unique(array, return_inverse=True)[1], or send a table"
        )
    if dtype.kind == "c":
        return "store real and imaginary parts as numbers of their own: array.view('float32')"
    if dtype.kind in "mM":
        return "store times as numbers, for example with array.astype('int64')"
    return "convert it, for example with array.astype('float32')"


def check_finite(arrays: dict[str, np.ndarray]) -> list[Fault]:
    """Return a fault for every array that has NaN or infinite values, or such as float32 cannot hold."""
    faults = []
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            continue
        with np.errstate(over="ignore"):
            finite = np.isfinite(array.astype(np.float32, copy=False))
        if not finite.all():
            count = int(array.size - finite.sum())
            message = f"{name!r} has {count} values that are NaN, infinite or beyond the range of float32"
            faults.append(Fault("non_finite_values", message, "remove or replace them"))
    return faults
