"""Compares an imported module with an independent computation of the same file, on random inputs."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from simulator.intake import IntakeError
from simulator.onnx import limits, precision
from simulator.onnx.archive import parse
from simulator.onnx.building import build_graph
from simulator.onnx.graph import ValueType
from simulator.onnx.importer import ImportedModel, import_model
from simulator.onnx.reading import inline_functions, read_model
from simulator.onnx.samples import as_arrays, index_limits, random_inputs

WARN = 1e-4
FAIL = 1e-3
_SAMPLES = 2
_OTHER_SIZES = (16, 32, 64, 224, 8)  # tried in turn for dimensions that the file leaves open

Reference = Literal["onnxruntime", "onnx.reference", "recorded"]
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Verification:
    """How far an imported model is from the reference.

    Attributes:
        max_abs_diff: the largest difference of two output numbers.
        max_rel_diff: the same, relative to the largest absolute number of that output.
        reference: what computed the reference.
    """

    max_abs_diff: float
    max_rel_diff: float
    reference: Reference

    @property
    def state(self) -> Literal["passed", "warned", "failed"]:
        """What follows from the difference: over 1e-4 is a warning, over 1e-3 a failure."""
        if not self.max_rel_diff <= FAIL:  # not a number fails, too
            return "failed"
        return "warned" if self.max_rel_diff > WARN else "passed"


def verify_import(data: bytes, seed: int = 0) -> Verification:
    """Import a model and compare it with onnxruntime, or with ONNX's reference where that is not installed.

    A model that was freed from its baked-in batch size is run on several samples at once, the reference on
    each of them.

    Args:
        data: bytes of one `.onnx` file.
        seed: of the random inputs.

    Raises:
        IntakeError: the file is refused, or no input size was found that the reference takes.
    """
    return verify_imported(import_model(data), seed)


def verify_imported(imported: ImportedModel, seed: int = 0) -> Verification:
    """Compare a module that was already imported; see `verify_import`."""
    graph = build_graph(read_model(imported.data))
    types = {name: graph.types[name] for name in graph.inputs}
    sizes = _OTHER_SIZES if _has_open_sizes(types) else _OTHER_SIZES[:1]
    parts = _SAMPLES if _leading_size(types) and imported.fixed_batch is None else 1
    problems = []
    for reference, other_size in itertools.product(_references(imported.data), sizes):
        draws = [
            random_inputs(
                types, limits=index_limits(graph), batch=_SAMPLES, other_size=other_size, seed=seed, part=part
            )
            for part in range(parts)
        ]
        try:
            expected = [reference.run(dict(zip(types, as_arrays(draw), strict=True))) for draw in draws]
        except Exception as error:  # noqa: BLE001 - each reference has its own errors for what it cannot do
            problems.append(f"{reference.name}: {' '.join(str(error).split())[:200]}")
            continue
        if parts == 1:
            return compare_outputs(_run(imported, draws[0]), expected[0], reference.name)
        joint = [torch.cat(tensors) for tensors in zip(*draws, strict=True)]
        outputs = [np.concatenate(arrays) for arrays in zip(*expected, strict=True)]
        return compare_outputs(_run(imported, joint), outputs, reference.name)
    message = f"the model cannot be run on random input: {'; '.join(dict.fromkeys(problems))}"
    raise IntakeError(limits.INVALID, message)


def compare_with(data: bytes, arrays: Mapping[str, Array]) -> Verification:
    """Compare a model with recorded outputs.

    Args:
        data: bytes of one `.onnx` file.
        arrays: `input:<name>` and `output:<name>` for each input and output.

    Raises:
        IntakeError: the file is refused, or arrays are missing.
    """
    imported = import_model(data, any_batch=False)
    wanted = [f"input:{spec.name}" for spec in imported.inputs] + [
        f"output:{s.name}" for s in imported.outputs
    ]
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise IntakeError("missing_array", f"the reference has no arrays {missing}; it has {sorted(arrays)}")
    inputs = [
        torch.from_numpy(_as_taken(arrays[f"input:{spec.name}"], spec.dtype)) for spec in imported.inputs
    ]
    expected = [arrays[f"output:{spec.name}"] for spec in imported.outputs]
    return compare_outputs(_run(imported, inputs), expected, "recorded")


def compare_outputs(
    results: Sequence[Tensor], expected: Sequence[Array], reference: Reference
) -> Verification:
    """Return the largest differences between a module's outputs and the reference's."""
    absolute = relative = 0.0
    for result, wanted in zip(results, expected, strict=True):
        found = result.numpy()
        if found.shape != wanted.shape:
            message = (
                f"an output has the shape {list(found.shape)} where the reference has {list(wanted.shape)}"
            )
            raise IntakeError("import_mismatch", message)
        difference, size = _largest_difference(found.astype(np.float64), wanted.astype(np.float64))
        absolute = max(absolute, difference)
        relative = max(relative, difference / size if size else difference)
    return Verification(absolute, relative, reference)


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


def _run(imported: ImportedModel, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        result = imported.module(*inputs)
    return result if isinstance(result, tuple) else (result,)


def _as_taken(array: Array, dtype: str) -> Array:
    return np.ascontiguousarray(array, np.float32 if dtype.startswith(("float", "bfloat")) else array.dtype)


def _leading_size(types: Mapping[str, ValueType]) -> int | None:
    leading = {kind.shape[0] for kind in types.values() if kind.shape}
    (size,) = leading if len(leading) == 1 else (None,)
    return size if isinstance(size, int) else None


def _has_open_sizes(types: Mapping[str, ValueType]) -> bool:
    dims = itertools.chain.from_iterable((kind.shape or ())[1:] for kind in types.values())
    return any(not isinstance(dim, int) for dim in dims)


class _Reference(Protocol):
    """Something that computes a model."""

    name: Reference

    def run(self, inputs: Mapping[str, Array]) -> list[Array]: ...


def _references(data: bytes) -> Iterator[_Reference]:
    """Yield what computes the file itself, in evaluation mode, half precision widened, the best first."""
    model = parse(data)
    changed = _to_evaluation_mode(model)
    if precision.uses_half(model):
        model = inline_functions(model)
        precision.widen(model)
        changed = True
    with contextlib.suppress(ImportError):
        yield _OnnxRuntime(model.SerializeToString() if changed else data, _double_inputs(model))
    yield _OnnxReference(model, _double_inputs(model))


def _double_inputs(model: onnx.ModelProto) -> set[str]:
    double = onnx.TensorProto.DOUBLE
    return {value.name for value in model.graph.input if value.type.tensor_type.elem_type == double}


def _with_doubles(inputs: Mapping[str, Array], doubles: set[str]) -> dict[str, Array]:
    return {name: array.astype(np.float64) if name in doubles else array for name, array in inputs.items()}


class _OnnxRuntime:
    name: Reference = "onnxruntime"

    def __init__(self, data: bytes, doubles: set[str]) -> None:
        import onnxruntime

        self._runtime = onnxruntime
        self._data = data
        self._doubles = doubles

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        session = self._runtime.InferenceSession(self._data, options, providers=["CPUExecutionProvider"])
        outputs: list[Array] = session.run(None, _with_doubles(inputs, self._doubles))
        return outputs


class _OnnxReference:
    name: Reference = "onnx.reference"

    def __init__(self, model: onnx.ModelProto, doubles: set[str]) -> None:
        self._model = model
        self._doubles = doubles

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        with np.errstate(all="ignore"):
            outputs: list[Array] = ReferenceEvaluator(self._model).run(
                None, _with_doubles(inputs, self._doubles)
            )
        return outputs


def _to_evaluation_mode(model: onnx.ModelProto) -> bool:
    """Turn off what only training does: batch statistics and dropout; returns whether there was any."""
    changed = False
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            for attribute in node.attribute:
                if attribute.name == "training_mode" and attribute.i:
                    attribute.i, changed = 0, True
                    del node.output[1:]
        elif node.op_type == "Dropout" and len(node.input) == 3:
            del node.input[2:]
            changed = True
    return changed
