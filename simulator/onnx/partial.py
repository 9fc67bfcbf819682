"""Whole numbers of which some are known: what is made of the shape of a value with an open size.

Exporters compute weights' shapes, slices and conditions from `Shape` of an activation. Its batch is open, and
what is computed from the other sizes is known all the same.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from simulator.onnx import tensors
from simulator.onnx.graph import Dim

_MOST_ELEMENTS = 1024
Objects = npt.NDArray[np.object_]


@dataclass(frozen=True)
class PartialValue:
    """Numbers, None where they depend on an open size.

    Attributes:
        numbers: an array of Python numbers and None.
        dtype: numpy's name of the element type.
    """

    numbers: Objects
    dtype: str

    @classmethod
    def of(cls, array: tensors.Array) -> PartialValue | None:
        """Return a constant in this form; None if it holds no whole numbers, or too many."""
        if array.dtype.kind not in "iub" or array.size > _MOST_ELEMENTS:
            return None
        return cls(array.astype(object), str(array.dtype))

    def known(self) -> tensors.Array | None:
        """Return the numbers if all of them are known."""
        if any(number is None for number in self.numbers.reshape(-1)):
            return None
        array: tensors.Array = self.numbers.astype(self.dtype)
        return array


def shape_value(shape: Sequence[Dim], node: onnx.NodeProto) -> PartialValue:
    """Return what `Shape` or `Size` gives of a value whose rank is known."""
    sizes = [dim if isinstance(dim, int) else None for dim in shape]
    if node.op_type == "Size":
        known = [size for size in sizes if size is not None]
        number = math.prod(known) if len(known) == len(sizes) else None
        return PartialValue(_objects([number]).reshape(()), "int64")
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    return PartialValue(_objects(sizes[attributes.get("start", 0) : attributes.get("end")]), "int64")


def compute(node: onnx.NodeProto, inputs: Sequence[PartialValue | None]) -> list[PartialValue] | None:
    """Return what a node computes of partly known inputs; None where that is not followed.

    Args:
        node: the node.
        inputs: what is known of each input, None for one that is left out.
    """
    function = _OPERATORS.get(node.op_type)
    if function is None or not inputs or inputs[0] is None:
        return None
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    try:
        found = function(attributes, inputs)
    except (ValueError, IndexError, TypeError, ArithmeticError):
        return None  # what contradicts itself is reported where shapes are inferred
    return None if found is None or found.numbers.size > _MOST_ELEMENTS else [found]


def _objects(numbers: Sequence[int | None]) -> Objects:
    array = np.empty(len(numbers), object)
    array[:] = list(numbers)
    return array


Attributes = Mapping[str, Any]
Inputs = Sequence[PartialValue | None]
Function = Callable[[Attributes, Inputs], PartialValue | None]


def _given(inputs: Inputs, position: int, default: list[int] | None = None) -> list[int] | None:
    """Return an input that has to be known to the last number, flat."""
    value = inputs[position] if position < len(inputs) else None
    if value is None:
        return default
    known = value.known()
    if known is None:
        raise ValueError("an argument depends on an open size")
    return [int(number) for number in known.reshape(-1)]


def _axes(attributes: Attributes, inputs: Inputs, position: int) -> list[int] | None:
    return list(attributes["axes"]) if "axes" in attributes else _given(inputs, position)


def _first(inputs: Inputs) -> PartialValue:
    value = inputs[0]
    if value is None:
        raise ValueError("nothing is given")
    return value


def _moved(change: Callable[[Attributes, Inputs, Objects], Objects]) -> Function:
    def function(attributes: Attributes, inputs: Inputs) -> PartialValue:
        value = _first(inputs)
        return PartialValue(np.asarray(change(attributes, inputs, value.numbers), object), value.dtype)

    return function


def _gather(attributes: Attributes, inputs: Inputs, x: Objects) -> Objects:
    index = inputs[1]
    known = None if index is None else index.known()
    if known is None:
        raise ValueError("an index depends on an open size")
    return np.take(x, known.astype(np.int64), axis=attributes.get("axis", 0))


def _slice(attributes: Attributes, inputs: Inputs, x: Objects) -> Objects:
    if "starts" in attributes:
        starts, ends, axes = (attributes.get(key) for key in ("starts", "ends", "axes"))
        steps = None
    else:
        starts, ends, axes, steps = (_given(inputs, position) for position in range(1, 5))
    index: list[slice] = [slice(None)] * x.ndim
    for place, (start, end) in enumerate(zip(starts or [], ends or [], strict=True)):
        step = steps[place] if steps else 1
        if step < 0:
            raise ValueError("backwards")
        index[axes[place] if axes else place] = slice(start, end, step)
    return x[tuple(index)]


def _unsqueeze(attributes: Attributes, inputs: Inputs, x: Objects) -> Objects:
    axes = _axes(attributes, inputs, 1) or []
    return np.expand_dims(x, tuple(axes))


def _squeeze(attributes: Attributes, inputs: Inputs, x: Objects) -> Objects:
    axes = _axes(attributes, inputs, 1)
    return np.squeeze(x, None if axes is None else tuple(axes))


def _reshape(attributes: Attributes, inputs: Inputs, x: Objects) -> Objects:
    target = _given(inputs, 1) or []
    if attributes.get("allowzero", 0) == 0:
        target = [x.shape[axis] if size == 0 else size for axis, size in enumerate(target)]
    return x.reshape(target)


def _concat(attributes: Attributes, inputs: Inputs) -> PartialValue | None:
    if any(value is None for value in inputs):
        return None
    arrays = [value.numbers for value in inputs if value is not None]
    return PartialValue(np.concatenate(arrays, axis=attributes["axis"]), _first(inputs).dtype)


def _cast(attributes: Attributes, inputs: Inputs) -> PartialValue | None:
    dtype = tensors.dtype_name(attributes["to"])
    if dtype is None or np.dtype(dtype if dtype != "bfloat16" else "float32").kind not in "iub":
        return None
    return PartialValue(_first(inputs).numbers, dtype)


def _elementwise(combine: Callable[..., Any], dtype: str | None = None) -> Function:
    whole = np.frompyfunc(lambda a, b: None if a is None or b is None else combine(a, b), 2, 1)

    def function(_attributes: Attributes, inputs: Inputs) -> PartialValue | None:
        if any(value is None for value in inputs):
            return None
        numbers = _first(inputs).numbers
        for value in inputs[1:]:
            numbers = np.asarray(whole(numbers, value.numbers if value else None), object)
        return PartialValue(numbers, dtype or _first(inputs).dtype)

    return function


def _where(_attributes: Attributes, inputs: Inputs) -> PartialValue | None:
    if len(inputs) != 3 or any(value is None for value in inputs):
        return None
    choose = np.frompyfunc(lambda c, a, b: None if c is None else (a if c else b), 3, 1)
    condition, one, other = (value.numbers for value in inputs if value is not None)
    second = inputs[1]
    dtype = "int64" if second is None else second.dtype
    return PartialValue(np.asarray(choose(condition, one, other), object), dtype)


def _not(_attributes: Attributes, inputs: Inputs) -> PartialValue:
    opposite = np.frompyfunc(lambda a: None if a is None else not a, 1, 1)
    return PartialValue(np.asarray(opposite(_first(inputs).numbers), object), "bool")


def _product(attributes: Attributes, inputs: Inputs) -> PartialValue | None:
    value = _first(inputs)
    if value.numbers.ndim != 1 or _axes(attributes, inputs, 1) not in (None, [0], [-1]):
        return None
    numbers = [int(number) for number in value.numbers if number is not None]
    product = math.prod(numbers) if len(numbers) == value.numbers.size else None
    keeps = attributes.get("keepdims", 1)
    return PartialValue(_objects([product]) if keeps else _objects([product]).reshape(()), value.dtype)


def _quotient(a: int, b: int) -> int:
    """Divide whole numbers as ONNX does: towards zero."""
    return -(-a // b) if (a < 0) != (b < 0) else a // b


_OPERATORS: Mapping[str, Function] = {
    "Add": _elementwise(operator.add),
    "And": _elementwise(lambda a, b: a and b, "bool"),
    "Cast": _cast,
    "Concat": _concat,
    "Div": _elementwise(_quotient),
    "Equal": _elementwise(operator.eq, "bool"),
    "Gather": _moved(_gather),
    "Greater": _elementwise(operator.gt, "bool"),
    "GreaterOrEqual": _elementwise(operator.ge, "bool"),
    "Identity": _moved(lambda _attributes, _inputs, x: x),
    "Less": _elementwise(operator.lt, "bool"),
    "LessOrEqual": _elementwise(operator.le, "bool"),
    "Max": _elementwise(max),
    "Min": _elementwise(min),
    "Mul": _elementwise(operator.mul),
    "Not": _not,
    "Or": _elementwise(lambda a, b: a or b, "bool"),
    "ReduceProd": _product,
    "Reshape": _moved(_reshape),
    "Slice": _moved(_slice),
    "Squeeze": _moved(_squeeze),
    "Sub": _elementwise(operator.sub),
    "Unsqueeze": _moved(_unsqueeze),
    "Where": _where,
}
