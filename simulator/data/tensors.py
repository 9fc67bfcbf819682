"""Arrays from a `.safetensors` file: a header of names, types and shapes, and the bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simulator.data.arrays import MAX_ARRAYS, MAX_BYTES
from simulator.data.errors import DatasetRejectedError, reject
from simulator.intake import Fault

_HINT = "write it with safetensors.numpy.save_file({'x_train': ..., 'y_train': ...}, path)"
_DTYPES = frozenset(["BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64"])


def read_safetensors(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """Return the arrays of a `.safetensors` file by name.

    Raises:
        DatasetRejectedError: it is not one, is too large, or has a type that NumPy has not.
    """
    from safetensors import SafetensorError, safe_open

    if path.stat().st_size > max_bytes:
        raise reject("too_large", f"the file is {path.stat().st_size} bytes, more than {max_bytes}")
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            if len(names) > MAX_ARRAYS:
                raise reject("too_large", f"the file has {len(names)} arrays, more than {MAX_ARRAYS}")
            if not names:
                raise reject("empty_dataset", "the file has no arrays", _HINT)
            dtypes = {name: str(file.get_slice(name).get_dtype()) for name in names}
            faults = [
                Fault(
                    "bad_dtype",
                    f"{name[:100]!r} has dtype {dtype}; booleans, integers and floats from 16 bits are read",
                    "convert it, for example with tensor.to(torch.float32)",
                )
                for name, dtype in dtypes.items()
                if dtype not in _DTYPES
            ]
            if faults:
                raise DatasetRejectedError(faults)
            return {name: np.array(file.get_tensor(name)) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, DatasetRejectedError):
            raise
        message = f"this is not a whole .safetensors file: {str(error)[:200]}"
        raise reject("not_safetensors", message, _HINT) from error
