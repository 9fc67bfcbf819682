"""How far two computations of the same values are apart: of whole outputs, and node by node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from simulator.intake import IntakeError
from simulator.onnx.graph import VALUE_OF

WARN = 1e-4
FAIL = 1e-3
# One rounding of the largest number that a node reads counts as a difference of WARN, no more: what is left
# of it where a result is much smaller than what it is made of says nothing about the import. Numbers beyond
# this size are masks, which make nothing else inexact.
_FLOOR = 2.0**-23 / WARN
_LARGEST_SIZE = 1024.0

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Difference:
    """How far values are from what they should be.

    Attributes:
        absolute: the largest difference of two numbers.
        relative: the same, relative to the largest absolute number of the value.
        where: the node that differs most, where nodes were compared.
    """

    absolute: float
    relative: float
    where: str | None = None


def difference_of(results: Sequence[Tensor], expected: Sequence[Array], floor: float = 0.0) -> Difference:
    """Return the largest differences between a module's outputs and the reference's.

    Args:
        results: what the module computed.
        expected: what the reference computed.
        floor: the least that a difference is divided by.

    Raises:
        IntakeError: `import_mismatch` if the shapes differ.
    """
    absolute = relative = 0.0
    for result, wanted in zip(results, expected, strict=True):
        found = result.numpy()
        if found.shape != wanted.shape:
            message = (
                f"an output has the shape {list(found.shape)} where the reference has {list(wanted.shape)}"
            )
            raise IntakeError("import_mismatch", message)
        difference, size = _largest_difference(found.astype(np.float64), wanted.astype(np.float64))
        size = max(size, floor)
        absolute = max(absolute, difference)
        relative = max(relative, difference / size if size else difference)
    return Difference(absolute, relative)


def _largest_difference(found: Array, wanted: Array) -> tuple[float, float]:
    same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))  # infinities that agree, too
    if same.all():
        return 0.0, 1.0
    if not (np.isfinite(found) | same).all() or not (np.isfinite(wanted) | same).all():
        return float("inf"), 1.0
    finite = np.isfinite(wanted)
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(found - wanted))
    return float(difference.max()), float(np.abs(wanted[finite]).max())


def node_by_node(
    module: fx.GraphModule, inputs: Sequence[Tensor], values: Mapping[str, Array]
) -> Difference | None:
    """Compare each call of a module with the reference, given what the reference computed before it.

    A network may turn one rounding into any difference. Here no difference is handed on: each node reads
    what the reference has, so that a node that computes something else shows, and nothing else does.

    Args:
        module: the imported module.
        inputs: what it is given.
        values: the reference's values by name.

    Returns:
        The largest difference of a node; None if an output was not compared.
    """
    follower = _Follower(module, values)
    with torch.no_grad():
        follower.run(*inputs)
    outputs = next(node for node in reversed(module.graph.nodes) if node.op == "output").all_input_nodes
    if not follower.compared.issuperset(outputs):
        return None
    return follower.worst


class _Follower(fx.Interpreter):
    """Runs a module with the reference's values in the place of its own."""

    def __init__(self, module: fx.GraphModule, values: Mapping[str, Array]) -> None:
        super().__init__(module)
        self._values = values
        self.worst = Difference(0.0, 0.0)
        self.compared: set[fx.Node] = set()

    def run_node(self, node: fx.Node) -> Any:
        result = super().run_node(node)
        wanted = self._values.get(node.meta.get(VALUE_OF, ""))
        if wanted is None or not isinstance(result, Tensor):
            return result
        arguments, _ = self.fetch_args_kwargs_from_env(node)
        sizes = [_size(tensor) for tensor in _tensors(arguments)]
        floor = _FLOOR * min(max(sizes, default=0.0), _LARGEST_SIZE)
        found = difference_of([result], [wanted], floor)
        if not found.relative <= self.worst.relative:  # not a number is worst
            self.worst = Difference(found.absolute, found.relative, node.meta[VALUE_OF])
        self.compared.add(node)
        return torch.from_numpy(np.array(wanted)).to(result.dtype)


def _tensors(arguments: Any) -> Iterator[Tensor]:
    if isinstance(arguments, Tensor):
        yield arguments
    elif isinstance(arguments, list | tuple):
        for argument in arguments:
            yield from _tensors(argument)


def _size(tensor: Tensor) -> float:
    """Return the largest finite absolute number of a tensor."""
    if not tensor.is_floating_point() or not tensor.numel():
        return 0.0
    return float(torch.nan_to_num(tensor.abs(), nan=0.0, posinf=0.0).max())
