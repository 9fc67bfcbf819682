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
from simulator.onnx.samples import index_limits, random_inputs

_PARTS = 3
_TOLERANCE = 1e-4
_OTHER_SIZE = 8
_SEED = 0


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
    limits = index_limits(graph)
    types = {name: graph.types[name] for name in graph.inputs}
    parts = [
        random_inputs(types, limits=limits, batch=batch, other_size=_OTHER_SIZE, seed=_SEED, part=part)
        for part in range(_PARTS)
    ]
    before = fx.Graph()
    before.output(before.graph_copy(module.graph, {}))
    try:
        with torch.no_grad():
            _Relaxer(module, parts, batch).run()
    except (_RelaxError, RuntimeError, ValueError, IndexError, TypeError):
        module.graph = before
        return False
    module.graph.lint()
    module.recompile()
    return True


class _Relaxer:
    def __init__(self, module: fx.GraphModule, parts: list[tuple[Tensor, ...]], batch: int) -> None:
        self._module = module
        self._batch = batch
        self._singles = [self._run(part) for part in parts]
        joint = [torch.cat(tensors) for tensors in zip(*parts, strict=True)]
        self._inputs = iter(joint)
        self._interpreter = fx.Interpreter(module, garbage_collect_values=False)
        self._size: fx.Node | None = None

    def _run(self, inputs: tuple[Tensor, ...]) -> dict[fx.Node, Any]:
        interpreter = fx.Interpreter(self._module, garbage_collect_values=False)
        interpreter.run(*inputs)
        return dict(interpreter.env)

    def run(self) -> None:
        for node in list(self._module.graph.nodes):
            if node.op == "placeholder":
                self._interpreter.env[node] = next(self._inputs)
                continue
            if node.op == "output":
                continue
            self._settle(node)
        (outputs,) = self._module.graph.output_node().args
        for output in outputs if isinstance(outputs, tuple) else (outputs,):
            self._check_is_joined_along_first_axis(output)

    def _settle(self, node: fx.Node) -> None:
        """Run a node on the joint inputs; change what is written in until the result is the parts together."""
        original = node.args
        for change in self._changes(node):
            node.args = change
            try:
                result = self._compute(node)
            except (RuntimeError, ValueError, IndexError):
                continue
            if self._fits(node, result):
                self._interpreter.env[node] = result
                return
        node.args = original
        raise _RelaxError

    def _compute(self, node: fx.Node) -> Any:
        for needed in node.all_input_nodes:
            if needed not in self._interpreter.env:  # made by a change
                self._interpreter.env[needed] = self._interpreter.run_node(needed)
        return self._interpreter.run_node(node)

    def _changes(self, node: fx.Node) -> Iterator[tuple[Any, ...]]:
        yield node.args
        if node.op != "call_function":
            return
        if node.target in (shapes.reshape, shapes.expand) and isinstance(node.args[1], list | tuple):
            target = list(node.args[1])
            for axis, dim in enumerate(target):
                if node.target is shapes.reshape and -1 not in target:
                    yield (node.args[0], [*target[:axis], -1, *target[axis + 1 :]])
                elif node.target is shapes.expand and dim == self._batch:
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

    def _fits(self, node: fx.Node, result: Any) -> bool:
        singles = [env[node] for env in self._singles]
        if not isinstance(result, Tensor):
            return True  # several values are looked at when they are taken apart
        if all(torch.equal(single, singles[0]) for single in singles) and _close(result, singles[0]):
            return True
        if node.target is shapes.shape:
            return True  # what is made of it is looked at
        return any(_close(result, torch.cat(singles, axis)) for axis in range(result.dim()))

    def _check_is_joined_along_first_axis(self, node: fx.Node) -> None:
        singles = [env[node] for env in self._singles]
        if not _close(self._interpreter.env[node], torch.cat(singles)):
            raise _RelaxError


def _close(result: Tensor, expected: Tensor) -> bool:
    if result.shape != expected.shape:
        return False
    if not result.is_floating_point():
        return torch.equal(result, expected)
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    return bool(torch.allclose(result, expected, rtol=0.0, atol=_TOLERANCE * scale))
