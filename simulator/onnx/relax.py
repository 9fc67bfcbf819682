"""Frees a model from the batch size that its file has baked in, where that can be shown to be right.

Exporters that trace a model with one example write its batch size into the targets of Reshape and Expand and
into constants. Here several examples are run one by one, as the file has it, and then together: at each call
that has a size written in, the axis is looked for that makes the joint result equal to the single results
put together. What cannot be made equal stays as it was, and the model keeps its batch size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx

from simulator.onnx.graph import Graph
from simulator.onnx.operators import shapes
from simulator.onnx.samples import Draws

_PARTS = 3
_TOLERANCE = 1e-4
_OTHER_SIZE = 8
_SEED = 0


_TRIALS_PER_NODE = 20
_Choice = tuple[
    int, tuple[Any, ...], Any
]  # how the result is arranged, the arguments that give it, the result


class _RelaxError(Exception):
    """The joint result could not be made equal to the parts."""


def batch_size(x: Tensor) -> int:
    """Return the size of the first axis."""
    return x.shape[0]


def spread_over_batch(constant: Tensor, axis: int, batch: int) -> Tensor:
    """Repeat a constant that is the same for all samples along an axis, as often as there are samples."""
    sizes = list(constant.shape)
    sizes[axis] = batch
    return constant.narrow(axis, 0, 1).expand(sizes)


def relax_batch(module: fx.GraphModule, graph: Graph, batch: int) -> bool:
    """Let a module take any batch size; returns whether it could be done, else the module is unchanged.

    Args:
        module: the imported module.
        graph: the graph that it was built from.
        batch: the batch size that is baked in.
    """
    draws = Draws.of(graph)
    parts = [
        draws.inputs(batch=batch, other_size=_OTHER_SIZE, seed=_SEED, part=part) for part in range(_PARTS)
    ]
    before = fx.Graph()
    before.output(before.graph_copy(module.graph, {}))
    try:
        with torch.no_grad():
            _Relaxer(module, parts, batch).run()
    except (_RelaxError, RuntimeError, ValueError, IndexError, TypeError):
        module.graph = before
        return False
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()
    return True


class _Relaxer:
    """Searches, call by call, for what has to change; goes back to an earlier choice where it gets stuck."""

    def __init__(self, module: fx.GraphModule, parts: list[tuple[Tensor, ...]], batch: int) -> None:
        self._module = module
        self._batch = batch
        self._singles = [self._run(part) for part in parts]
        self._interpreter = fx.Interpreter(module, garbage_collect_values=False)
        placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
        for node, tensors in zip(placeholders, zip(*parts, strict=True), strict=True):
            self._interpreter.env[node] = torch.cat(tensors)
        self._size: fx.Node | None = None

    def _run(self, inputs: tuple[Tensor, ...]) -> dict[fx.Node, Any]:
        interpreter = fx.Interpreter(self._module, garbage_collect_values=False)
        interpreter.run(*inputs)
        return dict(interpreter.env)

    def run(self) -> None:
        nodes = [node for node in self._module.graph.nodes if node.op != "placeholder"]
        budget = _TRIALS_PER_NODE * len(nodes)
        choices: list[list[_Choice]] = []
        while len(choices) < len(nodes):
            node = nodes[len(choices)]
            choices.append(self._choices(node))
            while not choices[-1]:
                choices.pop()
                if not choices:
                    raise _RelaxError
                choices[-1].pop(0)
            node, (_, arguments, result) = nodes[len(choices) - 1], choices[-1][0]
            node.args = arguments
            self._interpreter.env[node] = result
            budget -= 1
            if budget < 0:
                raise _RelaxError

    def _choices(self, node: fx.Node) -> list[_Choice]:
        """Return the changes of a call that give the parts together, the plainest arrangement first."""
        if node.op == "output":
            each = node.all_input_nodes
            joined = all(self._arrangement(output, self._interpreter.env[output]) == 0 for output in each)
            return [(0, node.args, None)] if joined else []
        found = []
        original = node.args
        for change in self._changes(node):
            node.args = change
            try:
                result = self._compute(node)
            except (RuntimeError, ValueError, IndexError):
                continue
            arrangement = self._arrangement(node, result)
            if arrangement is not None:
                found.append((arrangement, change, result))
        node.args = original
        return sorted(found, key=lambda choice: choice[0])

    def _compute(self, node: fx.Node) -> Any:
        for needed in node.all_input_nodes:
            if needed not in self._interpreter.env:  # made by a change
                self._interpreter.env[needed] = self._compute(needed)
        return self._interpreter.run_node(node)

    def _changes(self, node: fx.Node) -> Iterator[tuple[Any, ...]]:
        yield node.args
        if node.op != "call_function":
            return
        if node.target in (shapes.reshape, shapes.expand) and isinstance(node.args[1], list | tuple):
            target = list(self._singles[0][node].shape)
            for axis, dim in enumerate(target):
                if node.target is shapes.reshape:
                    yield (node.args[0], [*target[:axis], -1, *target[axis + 1 :]])
                elif dim == self._batch:
                    yield (node.args[0], [*target[:axis], self._size_node(), *target[axis + 1 :]])
        for position, argument in enumerate(node.args):
            if isinstance(argument, fx.Node) and argument.op == "get_attr":
                for axis in self._batch_axes(argument):
                    spread = self._spread_node(argument, axis)
                    yield (*node.args[:position], spread, *node.args[position + 1 :])

    def _size_node(self) -> fx.Node:
        if self._size is None:
            placeholders = [node for node in self._module.graph.nodes if node.op == "placeholder"]
            with self._module.graph.inserting_after(placeholders[-1]):
                self._size = self._module.graph.call_function(batch_size, (placeholders[0],))
        return self._size

    def _spread_node(self, constant: fx.Node, axis: int) -> fx.Node:
        size = self._size_node()
        later = max(constant, size)
        with self._module.graph.inserting_after(later):
            return self._module.graph.call_function(spread_over_batch, (constant, axis, size))

    def _batch_axes(self, constant: fx.Node) -> Iterator[int]:
        """Yield the axes along which a constant has one equal entry per sample."""
        value = self._singles[0][constant]
        for axis in range(value.dim()):
            first = value.narrow(axis, 0, 1)
            if value.shape[axis] == self._batch and bool((value == first).all()):
                yield axis

    def _arrangement(self, node: fx.Node, result: Any) -> int | None:
        """Tell how the parts lie in a joint result: 0 one after the other, None if they do not."""
        singles = [env[node] for env in self._singles]
        if not isinstance(result, Tensor) or node.target is shapes.shape:
            return 0  # what is made of it is looked at
        if _close(result, torch.cat(singles) if result.dim() else singles[0]):
            return 0
        if all(torch.equal(single, singles[0]) for single in singles) and _close(result, singles[0]):
            return 0  # it does not depend on the samples
        for axis in range(result.dim()):
            for outer in _divisors(singles[0].shape[axis]):
                if _close(result, _interleave(singles, axis, outer)):
                    return axis if outer == 1 else result.dim() + outer
        return None


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _interleave(parts: list[Tensor], axis: int, outer: int) -> Tensor:
    """Cut each part into `outer` blocks along an axis; return the first of each, the second of each, ..."""
    shape = parts[0].shape
    blocks = [part.reshape(*shape[:axis], outer, -1, *shape[axis + 1 :]) for part in parts]
    return torch.stack(blocks, axis + 1).flatten(axis, axis + 2)


def _close(result: Tensor, expected: Tensor) -> bool:
    if result.shape != expected.shape:
        return False
    if not result.is_floating_point():
        return torch.equal(result, expected)
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    return bool(torch.allclose(result, expected, rtol=0.0, atol=_TOLERANCE * scale))
