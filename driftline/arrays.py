"""Arrays and tensors as the file that the service takes, checked before anything is sent."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from driftline.errors import InvalidInput
from driftline.extras import need

_WAYS: Final = "give (x, y), (x_train, y_train, x_test, y_test), or a mapping of such names to arrays"
_SPLIT: Final = ("x_train", "y_train", "x_test", "y_test")
_WHOLE: Final = ("x", "y")


def to_npz(data: Any) -> bytes:
    """Return arrays as the bytes of an `.npz` file; equal arrays always give equal bytes.

    Args:
        data: `(x, y)`, `(x_train, y_train, x_test, y_test)`, or a mapping of names to arrays; each a NumPy
            array, a torch tensor, a pandas table or nested lists, with the samples along the first axis.

    Raises:
        InvalidInput: their number, lengths or kinds do not fit; every fault is told.
        MissingExtra: NumPy is not installed.
    """
    numpy = need("numpy", "arrays")
    faults: list[str] = []
    arrays = {}
    for name, value in _named(data).items():
        array = _array(numpy, name, value, faults)
        if array is not None:
            arrays[name] = array
    faults += _unequal(arrays)
    if faults:
        raise InvalidInput("\n".join(faults))
    buffer = io.BytesIO()
    numpy.savez(buffer, **arrays)
    return buffer.getvalue()


def _named(data: Any) -> dict[str, Any]:
    if isinstance(data, Mapping):
        if not data or not all(isinstance(name, str) and name[:1] in ("x", "y") for name in data):
            raise InvalidInput(f"the arrays are named {', '.join(map(str, data)) or 'nothing'}: {_WAYS}")
        return dict(data)
    if isinstance(data, tuple | list):
        if len(data) == len(_WHOLE):
            return dict(zip(_WHOLE, data, strict=True))
        if len(data) == len(_SPLIT) and not isinstance(data, list):
            return dict(zip(_SPLIT, data, strict=True))
        raise InvalidInput(f"a {type(data).__name__} of {len(data)} is not a dataset: {_WAYS}")
    raise InvalidInput(f"a {type(data).__name__} is not a dataset: {_WAYS}, or the path of a file")


def _array(numpy: Any, name: str, value: Any, faults: list[str]) -> Any:
    """Return a value as an array, None if it is none; what is wrong with it is added to the faults."""
    try:
        array = numpy.asarray(_off_the_device(value))
    except (ValueError, TypeError) as error:
        faults.append(f"{name} is not an array of numbers: {error}")
        return None
    if array.dtype.kind not in "biuf":
        faults.append(f"{name} holds {array.dtype}, not numbers; words as labels can be sent in a .csv file")
    elif array.ndim == 0:
        faults.append(f"{name} is a single number: the first axis has to be the samples")
    elif len(array) == 0:
        faults.append(f"{name} holds no samples")
    return array


def _off_the_device(value: Any) -> Any:
    """Return a torch tensor as an array: without its gradient, from its device, bfloat16 widened."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        return value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.numpy()
    return value


def _unequal(arrays: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the lengths: the inputs and targets of a part have one row a sample."""
    faults = []
    for suffix in ("_train", "_test", ""):
        part = {name: len(a) for name, a in arrays.items() if a.ndim and _suffix(name) == suffix}
        if len(set(part.values())) > 1:
            told = ", ".join(f"{name} has {length:,} samples" for name, length in part.items())
            faults.append(f"{told}: each sample needs its target")
        if part and not any(name.startswith("y") for name in part):
            faults.append(f"there is {', '.join(part)}, but no y{suffix}")
    return faults


def _suffix(name: str) -> str:
    return next((suffix for suffix in ("_train", "_test") if name.endswith(suffix)), "")


def first_samples(data: Any, count: int) -> Any:
    """Return the first samples of `x` in `(x, y)` or `(x_train, ...)`; None for other data."""
    if isinstance(data, Sequence) and not isinstance(data, str) and len(data) in (len(_WHOLE), len(_SPLIT)):
        return data[0][:count]
    return None
