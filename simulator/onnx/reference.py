"""What an imported model is compared with: onnxruntime, or ONNX's own reference, on the file itself."""

from __future__ import annotations

import contextlib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from simulator.onnx import precision
from simulator.onnx.archive import parse
from simulator.onnx.branches import take_branches
from simulator.onnx.reading import inline_functions, open_sizes
from simulator.onnx.selection import prune
from simulator.onnx.supported import SEQUENCES

ReferenceName = Literal["onnxruntime", "onnx.reference", "recorded"]
Array = np.ndarray[Any, Any]


class Reference(Protocol):
    """Something that computes a model."""

    name: ReferenceName

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Return the outputs that were asked for."""
        ...

    def run_through(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return every value that a node computes."""
        ...


def references(
    data: bytes, inputs: Sequence[str], outputs: Sequence[str], branches: Mapping[str, bool]
) -> Iterator[Reference]:
    """Yield what computes the file itself, in evaluation mode, half precision widened, the best first.

    Args:
        data: the file.
        inputs: names of the inputs that are given.
        outputs: names of the outputs that are wanted.
        branches: which way each `If` always goes; for values inside of it.
    """
    model = parse(data)
    prune(model, outputs)
    half = precision.uses_half(model)
    _to_evaluation_mode(model)
    open_sizes(model)
    if half:
        model = inline_functions(model)
        precision.widen(model)
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    wanted = {name: types[name] for name in inputs}
    with contextlib.suppress(ImportError):
        importlib.import_module("onnxruntime")
        yield _OnnxRuntime(model, wanted, outputs, branches)
    yield _OnnxReference(model, wanted, outputs, branches)


def _to_evaluation_mode(model: onnx.ModelProto) -> None:
    """Turn off what only training does: batch statistics and dropout."""
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            for attribute in node.attribute:
                if attribute.name == "training_mode" and attribute.i:
                    attribute.i = 0
                    del node.output[1:]
        elif node.op_type == "Dropout" and len(node.input) == 3:
            del node.input[2:]


def _as_declared(inputs: Mapping[str, Array], types: Mapping[str, int]) -> dict[str, Array]:
    """Return the inputs in the element types that the file declares."""
    dtypes = {name: onnx.helper.tensor_dtype_to_np_dtype(kind) for name, kind in types.items()}
    return {name: np.ascontiguousarray(array, dtypes[name]) for name, array in inputs.items()}


def _with_all_outputs(
    model: onnx.ModelProto, branches: Mapping[str, bool]
) -> tuple[onnx.ModelProto, list[str]]:
    """Return the model with every tensor that a node computes as an output, and their names."""
    whole = onnx.ModelProto()
    whole.CopyFrom(inline_functions(model))
    take_branches(whole, branches)
    given = {value.name for value in whole.graph.output}
    names = [
        name for node in whole.graph.node if node.op_type not in SEQUENCES for name in node.output if name
    ]
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in given)
    return whole, names


class _OfFile(ABC):
    """What computes a file: both kinds differ in how a model is run."""

    def __init__(
        self,
        model: onnx.ModelProto,
        types: Mapping[str, int],
        outputs: Sequence[str],
        branches: Mapping[str, bool],
    ) -> None:
        self._model = model
        self._types = types
        self._outputs = list(outputs)
        self._branches = branches

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        return self._run(self._model, self._outputs, _as_declared(inputs, self._types))

    def run_through(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        whole, names = _with_all_outputs(self._model, self._branches)
        return dict(zip(names, self._run(whole, names, _as_declared(inputs, self._types)), strict=True))

    @abstractmethod
    def _run(self, model: onnx.ModelProto, names: list[str], inputs: Mapping[str, Array]) -> list[Array]: ...


class _OnnxRuntime(_OfFile):
    name: ReferenceName = "onnxruntime"
    _session: Any = None  # of the model itself, which is run several times

    def _run(self, model: onnx.ModelProto, names: list[str], inputs: Mapping[str, Array]) -> list[Array]:
        if model is not self._model:
            return list(self._open(model).run(names, inputs))
        if self._session is None:
            self._session = self._open(model)
        return list(self._session.run(names, inputs))

    def _open(self, model: onnx.ModelProto) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # As the file says, node by node: what is fused may be computed in fewer bits.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        data = model.SerializeToString()
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class _OnnxReference(_OfFile):
    name: ReferenceName = "onnx.reference"

    def _run(self, model: onnx.ModelProto, names: list[str], inputs: Mapping[str, Array]) -> list[Array]:
        with np.errstate(all="ignore"):
            found: list[Array] = ReferenceEvaluator(model).run(names, inputs)
        return found
