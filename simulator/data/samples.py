"""A few samples of a dataset as people can look at them, small enough to be kept. NumPy only, no torch."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from typing import Any, Final

import numpy as np

from simulator.data.layout import Layout
from simulator.data.options import DatasetOptions

MOST: Final = 8
_PIXELS: Final = 48  # of a picture's longer side
_LEAST_PIXELS: Final = 8  # of the shorter side of what is taken for a picture
_CURVES, _POINTS, _NUMBERS = 4, 64, 16
_DIGITS: Final = 4


def samples_of(layout: Layout, options: DatasetOptions) -> list[dict[str, Any]]:
    """Return the first training samples as JSON, as the file has them, before any preprocessing.

    Each is `{"target", "inputs": [{"name", "kind", "whole", ...}]}`. An `image` (`[1 or 3, height, width]`)
    has a `png` in base64; a `series` (two axes, the longer of which is time) has `values` by curve; `tokens`
    (whole numbers along one axis) and `numbers` have `values`. `whole` says whether all of it is there.
    """
    part = options.arranged(layout.train)
    count = min(MOST, len(part))
    inputs = {name: array[:count] for name, array in part.inputs.items()}
    ends = {name: (float(array.min()), float(array.max())) for name, array in inputs.items()}
    return [
        {
            "target": _target(part.targets[index]),
            "inputs": [{"name": name, **_shown(array[index], *ends[name])} for name, array in inputs.items()],
        }
        for index in range(count)
    ]


def _shown(value: np.ndarray, low: float, high: float) -> dict[str, Any]:
    """Return one input of one sample; `low` and `high` are the ends of all samples that are shown."""
    if value.ndim == 3 and value.shape[0] in (1, 3) and min(value.shape[1:]) >= _LEAST_PIXELS:
        step = math.ceil(max(value.shape[1:]) / _PIXELS)
        small = value[:, ::step, ::step]
        return {"kind": "image", "whole": step == 1, "png": _png(_bytes(small, low, high))}
    if value.ndim == 2 and min(value.shape) >= 1 and value.dtype.kind in "fiu":
        curves = value if value.shape[0] <= value.shape[1] else value.T
        step = math.ceil(curves.shape[1] / _POINTS)
        kept = curves[:_CURVES, ::step]
        values = [[_plain(one) for one in curve] for curve in kept]
        return {"kind": "series", "whole": kept.shape == curves.shape, "values": values}
    numbers, whole = _numbers(value)
    is_tokens = value.ndim == 1 and value.dtype.kind in "iu" and value.dtype.itemsize > 1
    return {"kind": "tokens" if is_tokens else "numbers", "whole": whole, "values": numbers}


def _target(value: np.ndarray) -> Any:
    numbers, _ = _numbers(value)
    return numbers if np.ndim(value) else numbers[0]


def _numbers(value: np.ndarray) -> tuple[list[float | int | bool], bool]:
    flat = np.asarray(value).reshape(-1)
    return [_plain(one) for one in flat[:_NUMBERS]], flat.size <= _NUMBERS


def _plain(number: np.generic) -> float | int | bool:
    """Return a number as JSON has it, with the digits that a reader needs."""
    plain = number.item()
    return float(f"{plain:.{_DIGITS}g}") if isinstance(plain, float) else plain


def _bytes(picture: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return a picture as bytes `[height, width, channels]`; what is no byte is stretched over its range."""
    if picture.dtype != np.uint8:
        spread = (picture.astype(np.float64) - low) / ((high - low) or 1.0)
        picture = np.clip(np.rint(255 * spread), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture.transpose(1, 2, 0))


def _png(pixels: np.ndarray) -> str:
    """Return bytes `[height, width, 1 or 3]` as a PNG file (ISO/IEC 15948) in base64."""
    height, width, channels = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)  # no line is predicted from another

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines, 9)), chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()
