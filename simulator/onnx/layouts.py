"""How torch's parameters of a layer are laid out in an ONNX tensor, in both directions.

Import splits one ONNX tensor into the arrays that torch's parameters take; export joins them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class Layout(Protocol):
    """A bijection between one ONNX tensor and the parameters of a torch module."""

    def split(self, array: FloatArray) -> list[FloatArray]:
        """Return torch's arrays, given the ONNX tensor."""
        ...

    def join(self, arrays: Sequence[FloatArray]) -> FloatArray:
        """Return the ONNX tensor, given torch's arrays."""
        ...


@dataclass(frozen=True)
class Shaped:
    """The same numbers in torch's shape, possibly transposed and scaled.

    Attributes:
        onnx_shape: shape of the ONNX tensor.
        torch_shape: shape of the torch parameter, after the transposition.
        transposed: whether torch's matrix is the transpose of the ONNX one.
        scale: torch's number is this times the ONNX one (Gemm's alpha and beta).
    """

    onnx_shape: tuple[int, ...]
    torch_shape: tuple[int, ...]
    transposed: bool = False
    scale: float = 1.0

    def split(self, array: FloatArray) -> list[FloatArray]:
        """Return the one array that torch's parameter takes; a single number is spread over its shape."""
        numbers = array.T if self.transposed else array
        if numbers.size == 1:
            numbers = np.broadcast_to(numbers.reshape(()), self.torch_shape)
        numbers = numbers.reshape(self.torch_shape)
        return [numbers * np.float32(self.scale) if self.scale != 1.0 else numbers]

    def join(self, arrays: Sequence[FloatArray]) -> FloatArray:
        """Return the ONNX tensor; it takes torch's shape if a single number has become several."""
        (numbers,) = arrays
        if self.scale != 1.0:
            numbers = numbers / np.float32(self.scale)
        if self.transposed:
            numbers = numbers.T
        if numbers.size == np.prod(self.onnx_shape, dtype=int):
            numbers = numbers.reshape(self.onnx_shape)
        return np.ascontiguousarray(numbers)


@dataclass(frozen=True)
class Gates:
    """Stacked gates of a recurrent layer: ONNX `[directions, parts * gates * hidden, ...]`, in ONNX's order.

    Attributes:
        order: position in ONNX's order of each of torch's gates.
        directions: 1 or 2.
        parts: 2 for a bias (input's, then hidden's), 1 for a weight.
    """

    order: tuple[int, ...]
    directions: int
    parts: int = 1

    def split(self, array: FloatArray) -> list[FloatArray]:
        """Return, direction by direction and part by part, the gates in torch's order."""
        result = []
        for direction in range(self.directions):
            for part in np.split(array[direction], self.parts):
                gates = np.split(part, len(self.order))
                result.append(np.concatenate([gates[position] for position in self.order]))
        return result

    def join(self, arrays: Sequence[FloatArray]) -> FloatArray:
        """Return the ONNX tensor."""
        stacked = []
        for array in arrays:
            gates = np.split(array, len(self.order))
            placed: list[FloatArray] = [gates[0]] * len(self.order)
            for gate, position in zip(gates, self.order, strict=True):
                placed[position] = gate
            stacked.append(np.concatenate(placed))
        per_direction = [
            np.concatenate(stacked[start : start + self.parts])
            for start in range(0, len(stacked), self.parts)
        ]
        return np.stack(per_direction)
