"""ONNX bytes to a trainable `torch.fx.GraphModule`: follows the plan, decides nothing."""

from __future__ import annotations

import inspect
import keyword
import operator as python_operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from simulator.config.tasks import Task
from simulator.intake import IntakeError
from simulator.onnx import limits
from simulator.onnx.batch_axis import TURNED
from simulator.onnx.building import build_graph
from simulator.onnx.endings import Ending, ending_of
from simulator.onnx.graph import VALUE_OF, Dim, Graph, Node
from simulator.onnx.layers import RECURRENT_MODULES, Layer, Port
from simulator.onnx.logits import give_logits
from simulator.onnx.modules import (
    build_module,
    recurrent_output,
    recurrent_state,
    reverse_time,
)
from simulator.onnx.operators import Operator, lookup
from simulator.onnx.operators.registry import numbers_of
from simulator.onnx.operators.spatial import pad_same, pad_space
from simulator.onnx.plan import OPEN_BATCH_EXPORT, FunctionStep, LayerStep, Plan, make_plan
from simulator.onnx.reading import CheckedModel, read_model
from simulator.onnx.relax import relax_batch

_LONGEST_LITERAL = 4096


@dataclass(frozen=True)
class ValueSpec:
    """An input or output of a model.

    Attributes:
        name: as in the file.
        dtype: numpy's name of the element type in the file.
        shape: a number, a symbol, or None for each dimension; None for an unknown rank.
        ending: what an output ends in, where it says what the numbers are.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...] | None
    ending: Ending | None = None


@dataclass(frozen=True)
class Binding:
    """Where parameters of the imported module came from in the file, and go to on export.

    Attributes:
        keys: entries of the module's state dict.
        port: the constant they make up.
    """

    keys: tuple[str, ...]
    port: Port


@dataclass(frozen=True)
class ImportedModel:
    """A model read from ONNX.

    Attributes:
        module: computes the model; takes the inputs in order, floating-point ones as float32, and returns
            the output, or a tuple of several. In evaluation mode at first.
        inputs: what it takes.
        outputs: what it returns.
        bindings: where its parameters are in the file.
        notes: what the user should know, by code.
        sha256: of the file.
        data: the file, with all its weights in it.
        fixed_batch: the batch size that is baked into the file, None if it is open.
        branches: which way each `If` of the file always goes, by its first output.
        turned: names of inputs and outputs that have the time first in the file and the batch first here.
    """

    module: fx.GraphModule
    inputs: tuple[ValueSpec, ...]
    outputs: tuple[ValueSpec, ...]
    bindings: tuple[Binding, ...]
    notes: Mapping[str, str]
    sha256: str
    data: bytes
    fixed_batch: int | None
    branches: Mapping[str, bool] = field(default_factory=dict)
    turned: frozenset[str] = frozenset()

    def for_task(self, task: Task) -> fx.GraphModule:
        """Return the module, changed to return logits where a task compares logits with its targets.

        What is at the end of the user's own graph stays there: `export_model` writes weights alone.
        """
        (output,) = self.outputs
        sample = None if output.shape is None else output.shape[1:]
        ending = output.ending
        if ending is not None and sample and not ending.sums_over_classes(len(sample) + 1):
            ending = None
        is_binary = task is Task.CLASSIFICATION and sample in ((), (1,))
        give_logits(self.module, ending, task, is_binary=is_binary)
        return self.module


def import_model(
    data: bytes, *, any_batch: bool = True, outputs: Sequence[str] | None = None
) -> ImportedModel:
    """Build a trainable torch module of an ONNX model.

    Weights that are constants become parameters of `nn.Linear`, `nn.Conv2d`, `nn.BatchNorm2d`, `nn.LSTM` and
    so on, named as in the user's own model as far as the file says; every other operator is a function call.

    Args:
        data: bytes of a `.onnx` file, or of a zip of one and its external data.
        any_batch: whether the module takes samples along the first axis, as many as there are. Where a batch
            size is baked in, the module is freed from it if it can be shown that this changes no result, and
            the file is refused else; an input that has the time first is taken with the batch first. If not,
            the module takes what the file takes.
        outputs: names of the outputs that are wanted; what does not lead to them is left out. None keeps all,
            or those that hold floating-point numbers and are supported if others are not.

    Raises:
        IntakeError: the file is refused; says why.
    """
    checked = read_model(data, outputs)
    graph = build_graph(checked, batch_first=any_batch)
    endings = {name: ending_of(graph, name) for name in graph.outputs}
    plan = make_plan(graph)
    module = _Builder(graph, plan).build()
    notes = {**checked.notes, **plan.warnings}
    fixed_batch = plan.fixed_batch
    if fixed_batch is not None and relax_batch(module, graph, fixed_batch):
        fixed_batch = None
        notes.pop(limits.FIXED_BATCH, None)
    if fixed_batch is not None and any_batch:
        message = f"the batch size {fixed_batch} is baked into the model and cannot be taken out safely"
        choose = "; or choose an output that has the samples first: ?outputs=<name>"
        hint = OPEN_BATCH_EXPORT + (choose if len(graph.outputs) > 1 else "")
        raise IntakeError(limits.FIXED_BATCH, message, hint=hint)
    return ImportedModel(
        module=module,
        inputs=tuple(_spec(graph, name, checked) for name in graph.inputs),
        outputs=tuple(replace(_spec(graph, name, checked), ending=endings[name]) for name in graph.outputs),
        bindings=tuple(
            Binding(tuple(f"{layer.name}.{key}" if key else layer.name for key in port.keys), port)
            for layer in plan.layers
            for port in layer.ports
        ),
        notes=notes,
        sha256=checked.sha256,
        data=checked.content,
        fixed_batch=fixed_batch,
        branches=graph.branches,
        turned=frozenset(graph.turned),
    )


def _spec(graph: Graph, name: str, checked: CheckedModel) -> ValueSpec:
    kind = graph.types[name]
    shown = name.removesuffix(TURNED)
    return ValueSpec(shown, checked.input_dtypes.get(name, kind.dtype), kind.shape)


class _Builder:
    """Builds the fx graph of a plan."""

    def __init__(self, graph: Graph, plan: Plan) -> None:
        self._source = graph
        self._plan = plan
        self._root = nn.Module()
        self._graph = fx.Graph()
        self._values: dict[str, fx.Node] = {}
        self._buffers: dict[str, str] = {}

    def build(self) -> fx.GraphModule:
        for layer in self._plan.layers:
            self._add_layer(layer)
        for position, name in enumerate(self._source.inputs):
            self._values[name] = self._graph.placeholder(_identifier(name, position))
        for step in self._plan.steps:
            if isinstance(step, LayerStep):
                self._call_layer(step)
            else:
                self._call_function(step)
        for name, made in self._values.items():
            made.meta.setdefault(VALUE_OF, name)
        outputs = [self._value(name) for name in self._source.outputs]
        self._graph.output(outputs[0] if len(outputs) == 1 else tuple(outputs))
        module = fx.GraphModule(self._root, self._graph, class_name="ImportedModel")
        module.graph.eliminate_dead_code()
        module.delete_all_unused_submodules()
        module.graph.lint()
        module.recompile()
        return module.eval()

    def _add_layer(self, layer: Layer) -> None:
        path, _, name = layer.name.rpartition(".")
        parent = self._container(path)
        if layer.module == "Parameter":
            array = self._source.constants[layer.ports[0].value]
            parent.register_parameter(name, nn.Parameter(_tensor(array)))
        else:
            parent.add_module(name, build_module(layer, self._source.constants))

    def _container(self, path: str) -> nn.Module:
        module = self._root
        for part in path.split(".") if path else ():
            if part not in module._modules:  # noqa: SLF001 - a module has no public test for a child
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        return module

    def _value(self, name: str) -> fx.Node:
        """Return the graph's node for a value; a constant becomes a parameter or buffer at its first use."""
        if name not in self._values:
            layer = self._plan.loose.get(name)
            self._values[name] = self._graph.get_attr(layer.name if layer else self._buffer(name))
        return self._values[name]

    def _buffer(self, name: str) -> str:
        container = self._container("constants")
        key = _identifier(name, len(self._buffers))
        while key in container._buffers:  # noqa: SLF001 - as above
            key += "_"
        container.register_buffer(key, _tensor(self._source.constants[name]))
        self._buffers[name] = f"constants.{key}"
        return self._buffers[name]

    def _optional(self, name: str) -> fx.Node | None:
        return self._value(name) if name else None

    def _call_layer(self, step: LayerStep) -> None:
        x = self._value(step.inputs[0])
        arguments = step.layer.arguments
        if isinstance(step.pads, str):
            window = (arguments["kernel_size"], arguments["stride"], arguments["dilation"], step.pads)
            x = self._graph.call_function(pad_same, (x, *window))
        elif step.pads is not None:
            x = self._graph.call_function(pad_space, (x, step.pads))
        if step.layer.module in RECURRENT_MODULES:
            self._call_recurrent(step, x)
        else:
            self._values[step.outputs[0]] = self._graph.call_module(step.layer.name, (x,))

    def _call_recurrent(self, step: LayerStep, x: fx.Node) -> None:
        call = self._graph.call_function
        item = python_operator.getitem
        if step.reverse:
            x = call(reverse_time, (x,))
        initial = [self._optional(name) for name in step.inputs[1:]]
        state = (call(recurrent_state, (step.layer.module, *initial, x)),) if any(initial) else ()
        result = self._graph.call_module(step.layer.name, (x, *state))
        y = call(item, (result, 0))
        if step.reverse:
            y = call(reverse_time, (y,))
        last = call(item, (result, 1))
        directions = 2 if step.layer.arguments["bidirectional"] else 1
        values = [call(recurrent_output, (y, directions)), last]
        if step.layer.module == "LSTM":
            values[1:] = [call(item, (last, 0)), call(item, (last, 1))]
        self._values.update((name, value) for name, value in zip(step.outputs, values, strict=False) if name)

    def _call_function(self, step: FunctionStep) -> None:
        node = step.node
        if node.op == "Identity":
            self._values[node.outputs[0]] = self._value(node.inputs[0])
            return
        entry = lookup(node.op, self._source.opset)
        if entry is None:
            message = f"node {node.name or node.outputs[0]!r}: {node.op} is not supported in this opset"
            raise IntakeError(limits.UNSUPPORTED_OPERATOR, message)
        result = self._graph.call_function(
            entry.function, tuple(self._arguments(step, entry)), _keywords(node, entry)
        )
        if len(node.outputs) == 1 and not _gives_tuple(entry):
            self._values[node.outputs[0]] = result
            return
        for position, name in enumerate(node.outputs):
            if name:
                self._values[name] = self._graph.call_function(python_operator.getitem, (result, position))

    def _arguments(self, step: FunctionStep, entry: Operator) -> list[Any]:
        arguments: list[Any] = []
        for position, name in enumerate(step.node.inputs):
            constant = self._source.constants.get(name)
            if position in step.literals:
                arguments.append(list(step.literals[position]))
            elif not name:
                arguments.append(None)
            elif position not in entry.numbers:
                arguments.append(self._value(name))
            elif constant is not None and constant.size <= _LONGEST_LITERAL:
                arguments.append(constant.reshape(-1).tolist())
            else:
                arguments.append(self._graph.call_function(numbers_of, (self._value(name),)))
        return arguments


def _keywords(node: Node, entry: Operator) -> dict[str, Any]:
    keywords: dict[str, Any] = dict(entry.fixed)
    for name, value in node.attributes.items():
        if isinstance(value, np.ndarray):
            keywords |= {name: value.reshape(-1)[0].item(), "dtype": str(value.dtype)}
        elif name in entry.attributes:
            keywords[name] = value
    if "outputs" in entry.attributes:
        keywords["outputs"] = len(node.outputs)
    return keywords


def _gives_tuple(entry: Operator) -> bool:
    try:
        return str(inspect.signature(entry.function).return_annotation).startswith("tuple")
    except ValueError:  # torch's own functions, which return one tensor
        return False


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.array(array, order="C"))


def _identifier(name: str, number: int) -> str:
    cleaned = re.sub(r"\W+", "_", name).strip("_")
    if not cleaned or cleaned[0].isdigit() or keyword.iskeyword(cleaned):
        return f"value_{cleaned or number}"
    return cleaned
