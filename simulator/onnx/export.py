"""Writes trained weights back into the user's own graph.

The graph stays the user's: no exporter runs, only numbers change. A constant that several nodes share and
that has become different numbers is given to each of them on its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import checker, helper, numpy_helper
from torch import Tensor, nn

from simulator.onnx import tensors
from simulator.onnx.archive import parse
from simulator.onnx.branches import take_branches
from simulator.onnx.importer import Binding, ImportedModel
from simulator.onnx.reading import inline_functions

State = Mapping[str, Tensor]


def export_model(imported: ImportedModel, trained: nn.Module | State) -> bytes:
    """Return the user's model with trained weights in it.

    Inputs, outputs and nodes keep their names; functions, and each `If` that always goes one way, are written
    out as nodes. Parameters that the state
    does not have keep the file's numbers.

    Args:
        imported: what `import_model` returned.
        trained: a module with the imported module's parameter names, or its state dict. Floating-point
            numbers are converted to the element type that the file stores.

    Raises:
        ValueError: a parameter is missing or has another shape than the file's.
    """
    state = trained.state_dict() if isinstance(trained, nn.Module) else trained
    _check_state(imported, state)
    model = inline_functions(parse(imported.data))
    take_branches(model, imported.branches)
    _Writer(model, imported.bindings).write(state)
    checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _check_state(imported: ImportedModel, state: State) -> None:
    own = imported.module.state_dict()
    faults = []
    for key in sorted({key for binding in imported.bindings for key in binding.keys}):
        if key not in state:
            faults.append(f"{key} is missing")
        elif state[key].shape != own[key].shape:
            faults.append(f"{key} has the shape {list(state[key].shape)} instead of {list(own[key].shape)}")
    if faults:
        raise ValueError(f"the trained weights do not fit the model: {'; '.join(faults)}")


class _Writer:
    def __init__(self, model: onnx.ModelProto, bindings: Sequence[Binding]) -> None:
        self._graph = model.graph
        self._bindings = bindings
        self._nodes = {name: node for node in model.graph.node for name in node.output if name}
        self._initialisers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._readers: dict[str, int] = defaultdict(int)
        for node in model.graph.node:
            for name in node.input:
                self._readers[name] += 1
        for value in model.graph.output:
            self._readers[value.name] += 1
        self._made: list[tuple[str, str, list[tuple[str, int]]]] = []

    def write(self, state: State) -> None:
        by_value: dict[tuple[str, tuple[str, ...]], list[Binding]] = defaultdict(list)
        for binding in self._bindings:
            by_value[binding.port.value, binding.keys].append(binding)
        for (value, keys), bindings in by_value.items():
            array = bindings[0].port.layout.join([_numbers(state[key]) for key in keys])
            if value in self._initialisers and self._readers[value] == len(bindings):
                self._overwrite(self._initialisers[value], array)
            else:
                self._give_own(value, bindings, array)
        self._drop_unread()
        self._name_made()

    def _overwrite(self, tensor: onnx.TensorProto, array: np.ndarray[Any, Any]) -> None:
        kind = tensor.data_type
        tensor.CopyFrom(_tensor(array, tensor.name, kind))
        for declared in self._graph.input:  # files before IR version 4 list their weights among the inputs
            if declared.name == tensor.name:
                declared.type.CopyFrom(helper.make_tensor_type_proto(kind, array.shape))

    def _give_own(self, value: str, bindings: Sequence[Binding], array: np.ndarray[Any, Any]) -> None:
        """Make an initialiser for the nodes of one layer and let them read it."""
        name = f"made {len(self._made)}"  # until it is known which names are free
        places = [(binding.port.consumer, binding.port.position) for binding in bindings]
        for consumer, position in places:
            self._nodes[consumer].input[position] = name
            self._readers[value] -= 1
            self._readers[name] += 1
        tensor = self._graph.initializer.add()
        tensor.CopyFrom(_tensor(array, name, self._type_of(value)))
        self._made.append((name, bindings[0].keys[0], places))

    def _name_made(self) -> None:
        """Name the new initialisers after the parameters in them."""
        taken = {name for node in self._graph.node for name in (*node.input, *node.output)}
        taken |= {value.name for value in (*self._graph.input, *self._graph.initializer)}
        nodes = {name: node for node in self._graph.node for name in node.output if name}
        tensors_by_name = {tensor.name: tensor for tensor in self._graph.initializer}
        for made, wanted, places in self._made:
            name, number = wanted, 1
            while name in taken:
                name, number = f"{wanted}_{number}", number + 1
            taken.add(name)
            tensors_by_name[made].name = name
            for consumer, position in places:
                nodes[consumer].input[position] = name

    def _type_of(self, value: str) -> int:
        """Return the element type of a constant, found where it is stored."""
        while value not in self._initialisers:
            node = self._nodes[value]
            for attribute in node.attribute:
                if attribute.name == "value" and attribute.t.data_type in tensors.FLOAT_TYPES:
                    return int(attribute.t.data_type)
                if attribute.name == "to":
                    return int(attribute.i)
            if not node.input:
                return int(onnx.TensorProto.FLOAT)
            # What was quantised is written in the type of its scale: trained numbers are on no grid.
            value = node.input[1 if node.op_type == "DequantizeLinear" else 0]
        return int(self._initialisers[value].data_type)

    def _drop_unread(self) -> None:
        """Remove nodes and initialisers that nothing reads any more, last nodes first."""
        outputs = {value.name for value in self._graph.output}
        kept = []
        for node in reversed(self._graph.node):
            if any(self._readers[name] or name in outputs for name in node.output):
                kept.append(node)
                continue
            for name in node.input:
                self._readers[name] -= 1
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(kept)]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        unread = {name for name in self._initialisers if not self._readers[name] and name not in outputs}
        for field in (self._graph.initializer, self._graph.input):
            for position in reversed(range(len(field))):
                if field[position].name in unread:
                    del field[position]


def _numbers(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    return tensor.detach().to("cpu").float().numpy()


def _tensor(array: np.ndarray[Any, Any], name: str, kind: int) -> onnx.TensorProto:
    return numpy_helper.from_array(array.astype(helper.tensor_dtype_to_np_dtype(kind)), name)
