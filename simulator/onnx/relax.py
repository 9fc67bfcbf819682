"""Frees a model from the batch size that its file has baked in, where that can be shown to be right.

Exporters that trace a model with one example write its batch size into the targets of Reshape and Expand, the
sizes of Resize, and into constants. Here several examples are run one by one, as the file has it, and then
together: at each call that has a size written in, the axis is looked for that makes the joint result equal to
the single ones put together. What cannot be made equal stays as it was, and the model keeps its batch size.

Most calls treat each sample by itself whatever they compute, such as a convolution of a batch. These are not
run: what is behind them is tried on random numbers of the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx, nn

from simulator.onnx.graph import VALUE_OF, Graph
from simulator.onnx.operators import registered, resize, shapes
from simulator.onnx.samples import Draws
from simulator.onnx.supported import ACTIVATIONS
from simulator.rng import Purpose, generator

_PARTS = 3
_TOLERANCE = 1e-4
_OTHER_SIZE = 8
_SEED = 0
_TRIALS_PER_NODE = 20

# Operators that compute each number of their first input, or each window of each sample, by itself.
_BY_THEMSELVES = (
    ACTIVATIONS - {"Hardmax", "LogSoftmax", "PRelu", "Softmax"}
    | frozenset(["Abs", "Clip", "Cos", "Erf", "Exp", "Floor", "Log", "Neg", "Reciprocal", "Sin", "Sqrt"])
    | frozenset(["AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LRN", "MaxPool"])
)
_OF_TWO = frozenset(["Add", "Div", "Max", "Min", "Mul", "Pow", "Sub"])
_OF_SAMPLES = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.Dropout),
)


@dataclass(frozen=True)
class _Choice:
    """A change of a call that gives the parts together.

    Attributes:
        arrangement: how the result is arranged: 0 for one part after the other, a larger one for others.
        arguments: of the call.
        result: of the call; None for one that is not run.
    """

    arrangement: int
    arguments: tuple[Any, ...]
    result: Any


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
            _Relaxer(module, graph, parts, batch).run()
    except (_RelaxError, RuntimeError, ValueError, IndexError, TypeError):
        module.graph = before
        return False
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()
    return True


class _Relaxer:
    """Searches, call by call, for what has to change; goes back to an earlier choice where it gets stuck."""

    def __init__(
        self, module: fx.GraphModule, graph: Graph, parts: list[tuple[Tensor, ...]], batch: int
    ) -> None:
        self._module = module
        self._source = graph
        self._batch = batch
        self._nodes = [node for node in module.graph.nodes if node.op != "placeholder"]
        self._arguments = {node: node.args for node in self._nodes}
        self._places = {node: place for place, node in enumerate(self._nodes)}
        self._last_use = {
            needed: place for place, node in enumerate(self._nodes) for needed in node.all_input_nodes
        }
        self._singles = [fx.Interpreter(module, garbage_collect_values=False) for _ in parts]
        self._joint = fx.Interpreter(module, garbage_collect_values=False)
        self._placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
        for node, tensors in zip(self._placeholders, zip(*parts, strict=True), strict=True):
            self._set(node, tensors)
        self._not_run: dict[fx.Node, tuple[int, ...]] = {}
        self._of_samples = {node for node in self._placeholders if self._joint.env[node].dim()}
        self._size: fx.Node | None = None

    def _set(self, node: fx.Node, parts: tuple[Tensor, ...]) -> None:
        for single, part in zip(self._singles, parts, strict=True):
            single.env[node] = part
        self._joint.env[node] = torch.cat(parts)

    def run(self) -> None:
        budget = _TRIALS_PER_NODE * len(self._nodes)
        choices: list[list[_Choice]] = []
        while len(choices) < len(self._nodes):
            choices.append(self._choices(self._nodes[len(choices)]))
            while not choices[-1]:
                choices.pop()
                if not choices:
                    raise _RelaxError
                choices[-1].pop(0)
            place, chosen = len(choices) - 1, choices[-1][0]
            self._take(self._nodes[place], chosen)
            if all(len(others) == 1 for others in choices):
                self._forget(place)
            budget -= 1
            if budget < 0:
                raise _RelaxError

    def _take(self, node: fx.Node, chosen: _Choice) -> None:
        node.args = chosen.arguments
        self._of_samples.discard(node)
        if node.op == "output":
            return
        if node in self._not_run:
            self._of_samples.add(node)
            return
        self._joint.env[node] = chosen.result
        first = self._singles[0].env[node]
        in_order = isinstance(chosen.result, Tensor) and chosen.arrangement == 0 and first.dim() > 0
        if in_order and chosen.result.shape != first.shape:
            self._of_samples.add(node)

    def _forget(self, place: int) -> None:
        """Let go of what no later call reads, once there is nothing to go back to."""
        for needed in self._nodes[place].all_input_nodes:
            if needed.op != "placeholder" and self._last_use.get(needed, place) <= place:
                for interpreter in (*self._singles, self._joint):
                    interpreter.env.pop(needed, None)

    def _choices(self, node: fx.Node) -> list[_Choice]:
        """Return the changes of a call that give the parts together, the plainest arrangement first."""
        node.args = self._arguments[node]
        self._not_run.pop(node, None)
        if node.op == "output":
            joined = all(
                output in self._not_run or self._arrangement(output, self._joint.env[output]) == 0
                for output in node.all_input_nodes
            )
            return [_Choice(0, node.args, None)] if joined else []
        shape = self._shape_without_running(node)
        if shape is not None:
            self._not_run[node] = shape
            return [_Choice(0, node.args, None)]
        self._make_up(node.all_input_nodes)
        if node not in self._singles[0].env:
            for single in self._singles:
                single.env[node] = single.run_node(node)
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
                found.append(_Choice(arrangement, change, result))
            if arrangement == 0 and change is original:
                break  # as it is, it does what it has to
        node.args = original
        return sorted(found, key=lambda choice: choice.arrangement)

    def _make_up(self, nodes: list[fx.Node]) -> None:
        """Draw what calls give that were not run: positive, so that roots and logarithms are numbers."""
        for node in nodes:
            if node in self._not_run and node not in self._joint.env:
                stream = generator(_SEED, Purpose.VERIFICATION, "between", self._places[node])
                shape = self._not_run[node]
                self._set(node, tuple(torch.rand(shape, generator=stream) + 0.1 for _ in self._singles))

    def _shape_without_running(self, node: fx.Node) -> tuple[int, ...] | None:
        """Return the shape of what a call gives that treats each sample by itself, None for all others."""
        kind = self._source.types.get(node.meta.get(VALUE_OF, ""))
        if kind is None or kind.dtype != "float32" or not kind.static_shape or len(kind.static_shape) < 2:
            return None
        inputs = node.all_input_nodes
        given = [one for one in inputs if one.op != "get_attr"]
        if not given or not all(one in self._of_samples for one in given):
            return None
        if not self._treats_samples_alone(node, given, kind.static_shape):
            return None
        return kind.static_shape

    def _treats_samples_alone(self, node: fx.Node, given: list[fx.Node], shape: tuple[int, ...]) -> bool:
        if node.op == "call_module":
            module = self._module.get_submodule(str(node.target))
            return isinstance(module, _OF_SAMPLES)
        if node.op != "call_function":
            return False
        name = _operators_by_function().get(node.target)
        if name in _BY_THEMSELVES:
            return len(given) == 1 and node.args[0] is given[0]
        if name == "Concat":
            return len(node.args) == len(given) and node.kwargs.get("axis", 0) not in (0, -len(shape))
        if name in _OF_TWO and len(node.args) == 2:
            return all(self._broadcasts(argument, given, shape) for argument in node.args)
        return False

    def _broadcasts(self, argument: Any, given: list[fx.Node], shape: tuple[int, ...]) -> bool:
        """Whether an operand has the samples first as the result does, or is one for all samples."""
        if argument in given:
            known = self._not_run.get(argument)
            sizes = known if known is not None else tuple(self._singles[0].env[argument].shape)
            return len(sizes) == len(shape) and sizes[0] == shape[0]
        if not isinstance(argument, fx.Node):
            return isinstance(argument, int | float)
        constant: Tensor = self._joint.run_node(argument)
        return constant.dim() < len(shape) or constant.shape[0] == 1

    def _compute(self, node: fx.Node) -> Any:
        for needed in node.all_input_nodes:
            if needed not in self._joint.env:  # made by a change
                self._joint.env[needed] = self._compute(needed)
        return self._joint.run_node(node)

    def _changes(self, node: fx.Node) -> Iterator[tuple[Any, ...]]:
        yield node.args
        if node.op != "call_function":
            return
        yield from self._with_other_sizes(node)
        for position, argument in enumerate(node.args):
            if isinstance(argument, fx.Node) and argument.op == "get_attr":
                for axis in self._batch_axes(argument):
                    spread = self._spread_node(argument, axis)
                    yield (*node.args[:position], spread, *node.args[position + 1 :])

    def _with_other_sizes(self, node: fx.Node) -> Iterator[tuple[Any, ...]]:
        """Yield the arguments with one written-in size left open, or taken from the batch."""
        if node.target in (shapes.reshape, shapes.expand) and isinstance(node.args[1], list | tuple):
            target = list(self._singles[0].env[node].shape)
            for axis, dim in enumerate(target):
                if node.target is shapes.reshape:
                    yield (node.args[0], [*target[:axis], -1, *target[axis + 1 :]])
                elif dim == self._batch:
                    yield (node.args[0], [*target[:axis], self._size_node(), *target[axis + 1 :]])
        if node.target is resize.resize and len(node.args) > 3 and isinstance(node.args[3], list | tuple):
            sizes = list(node.args[3])
            for axis, dim in enumerate(sizes):
                if dim == self._batch:
                    yield (*node.args[:3], [*sizes[:axis], self._size_node(), *sizes[axis + 1 :]])

    def _size_node(self) -> fx.Node:
        if self._size is None:
            with self._module.graph.inserting_after(self._placeholders[-1]):
                self._size = self._module.graph.call_function(batch_size, (self._placeholders[0],))
        return self._size

    def _spread_node(self, constant: fx.Node, axis: int) -> fx.Node:
        size = self._size_node()
        later = max(constant, size)
        with self._module.graph.inserting_after(later):
            return self._module.graph.call_function(spread_over_batch, (constant, axis, size))

    def _batch_axes(self, constant: fx.Node) -> Iterator[int]:
        """Yield the axes along which a constant has one equal entry per sample."""
        value = self._singles[0].env[constant]
        for axis in range(value.dim()):
            first = value.narrow(axis, 0, 1)
            if value.shape[axis] == self._batch and bool((value == first).all()):
                yield axis

    def _arrangement(self, node: fx.Node, result: Any) -> int | None:
        """Tell how the parts lie in a joint result: 0 one after the other, None if they do not."""
        singles = [single.env[node] for single in self._singles]
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


@cache
def _operators_by_function() -> dict[Any, str]:
    return {entry.function: name for name, entries in registered().items() for entry in entries}


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
    scale = float(torch.nan_to_num(expected.abs(), nan=0.0, posinf=0.0).max()) if expected.numel() else 0.0
    return bool(torch.allclose(result, expected, rtol=0.0, atol=_TOLERANCE * scale, equal_nan=True))
