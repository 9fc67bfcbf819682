"""Compares an imported module with an independent computation of the same file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from simulator.intake import IntakeError
from simulator.onnx import limits
from simulator.onnx.building import build_graph
from simulator.onnx.graph import Graph
from simulator.onnx.importer import ImportedModel, import_model
from simulator.onnx.judging import FAIL, WARN, Difference, difference_of, node_by_node
from simulator.onnx.reading import read_model
from simulator.onnx.reference import Reference, ReferenceName, references
from simulator.onnx.samples import Draws, as_arrays, sizes_to_try

SAMPLES = 4  # of a dataset
_DRAWN = 2
_MOST_NUMBERS_BETWEEN = 1 << 28  # of all values that are looked at node by node

Array = np.ndarray[Any, Any]
Source = Literal["samples", "random", "recorded"]


@dataclass(frozen=True)
class Verification:
    """How far an imported model is from the reference.

    Attributes:
        max_abs_diff: the largest difference of two output numbers.
        max_rel_diff: what is judged: the largest difference relative to the largest absolute number of that
            output, or of that node where nodes were compared one by one.
        reference: what computed the reference.
        inputs: what both were given.
        node_by_node: whether the outputs as a whole differ by more than the limit of a warning, so that
            every node was compared on what the reference computed before it.
        where: the value that differs most, where nodes were compared.
    """

    max_abs_diff: float
    max_rel_diff: float
    reference: ReferenceName
    inputs: Source = "random"
    node_by_node: bool = False
    where: str | None = None

    @property
    def state(self) -> Literal["passed", "warned", "failed"]:
        """What follows from the difference: over 1e-4 is a warning, over 1e-3 a failure."""
        if not self.max_rel_diff <= FAIL:  # not a number fails, too
            return "failed"
        return "warned" if self.max_rel_diff > WARN else "passed"


def verify_import(data: bytes, seed: int = 0) -> Verification:
    """Import a model and compare it with onnxruntime, or with ONNX's reference where that cannot run it.

    Args:
        data: bytes of one `.onnx` file.
        seed: of the random inputs.

    Raises:
        IntakeError: the file is refused, or no input size was found that the reference takes.
    """
    return verify_imported(import_model(data), seed)


def verify_imported(
    imported: ImportedModel, seed: int = 0, samples: Sequence[Tensor] | None = None
) -> Verification:
    """Compare a module that was already imported.

    A model that was freed from its baked-in batch size is run on several samples at once, the reference on
    each of them. Where the outputs differ by more than the limit of a warning, every node is compared given
    equal inputs, and the largest difference of a node is what counts if it is smaller.

    Args:
        imported: what `import_model` returned.
        seed: of the random inputs.
        samples: tensors `[samples, ...]` in the order of the model's inputs, such as the first samples of a
            dataset; random inputs without.

    Raises:
        IntakeError: `import_failed` if the imported model cannot be run where the reference can,
            `import_mismatch` if the shapes of the outputs differ, `invalid_model` if the reference cannot.
    """
    checked = read_model(imported.data, [spec.name for spec in imported.outputs])
    graph = build_graph(checked, batch_first=bool(imported.turned))
    comparison = _Comparison(imported, graph)
    if samples is not None:
        return comparison.on_samples(samples)
    return comparison.on_random_inputs(seed)


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
    results: Sequence[Tensor], expected: Sequence[Array], reference: ReferenceName
) -> Verification:
    """Return the largest differences between a module's outputs and the reference's."""
    found = difference_of(results, expected)
    source: Source = "recorded" if reference == "recorded" else "random"
    return Verification(found.absolute, found.relative, reference, source)


class _Comparison:
    """An imported model and its file, side by side."""

    def __init__(self, imported: ImportedModel, graph: Graph) -> None:
        self._imported = imported
        self._graph = graph
        baked_in = {(graph.shape(name) or (None,))[0] for name in graph.inputs}
        (size,) = baked_in if len(baked_in) == 1 else (None,)
        self._baked_in = size if isinstance(size, int) else None
        self._references = list(
            references(
                imported.data, graph.inputs, [spec.name for spec in imported.outputs], imported.branches
            )
        )
        self._problems: list[str] = []

    def on_samples(self, samples: Sequence[Tensor]) -> Verification:
        """Compare on the first of these samples."""
        size = self._baked_in or SAMPLES
        there = len(samples[0])
        if self._baked_in is not None and there < size:  # as many as the file takes, the last one repeated
            samples = [
                torch.cat([tensor, tensor[-1:].expand(size - there, *tensor.shape[1:])]) for tensor in samples
            ]
        count = max(1, min(SAMPLES, len(samples[0])) // size) if self._is_freed() else 1
        parts = [tuple(tensor[i * size : (i + 1) * size] for tensor in samples) for i in range(count)]
        for reference in self._references:
            expected = self._expected(reference, parts)
            if expected is not None:
                return self._judge(reference, parts, expected, "samples", self._run(parts))
        raise self._not_run("the dataset's samples")

    def on_random_inputs(self, seed: int) -> Verification:
        """Compare on random inputs of the first size at which the outputs are not all the same number."""
        draws = Draws.of(self._graph)
        count = _DRAWN if self._is_freed() else 1
        has_open_sizes = any(
            not isinstance(dim, int) for kind in draws.types.values() for dim in (kind.shape or ())[1:]
        )
        sizes = list(sizes_to_try(self._graph)) if has_open_sizes else [1]
        found: Verification | None = None
        failure: IntakeError | None = None
        for reference in self._references:
            for size in sizes:
                parts = [draws.inputs(batch=_DRAWN, other_size=size, seed=seed, part=i) for i in range(count)]
                expected = self._expected(reference, parts)
                if expected is None or any(not array.size for array in expected[0]):
                    continue
                try:
                    results = self._run(parts)
                except IntakeError as error:
                    failure = failure or error
                    continue
                judged = self._judge(reference, parts, expected, "random", results)
                if any(_tells_something(array) for array in expected[0]):
                    return judged
                found = found or judged
            if found is not None:
                return found
        raise failure or self._not_run("random input")

    def _is_freed(self) -> bool:
        return self._baked_in is not None and self._imported.fixed_batch is None

    def _expected(self, reference: Reference, parts: Sequence[Sequence[Tensor]]) -> list[list[Array]] | None:
        """Return the reference's outputs of each part, None if it cannot compute them."""
        try:
            return [self._batch_first(reference.run(self._named(part))) for part in parts]
        except Exception as error:  # noqa: BLE001 - each reference has its own errors for what it cannot do
            self._problems.append(f"{reference.name}: {_short(error)}")
            return None

    def _named(self, inputs: Sequence[Tensor]) -> dict[str, Array]:
        """Return inputs by name, as the file takes them."""
        turned = self._graph.turned
        return {
            name: array.swapaxes(0, 1) if name in turned else array
            for name, array in zip(self._graph.inputs, as_arrays(inputs), strict=True)
        }

    def _batch_first(self, outputs: Sequence[Array]) -> list[Array]:
        turned = self._graph.turned
        return [
            array.swapaxes(0, 1) if spec.name in turned else array
            for spec, array in zip(self._imported.outputs, outputs, strict=True)
        ]

    def _run(self, parts: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
        """Return the imported module's outputs for all parts together."""
        joint = [torch.cat(tensors) for tensors in zip(*parts, strict=True)]
        try:
            return _run(self._imported, joint)
        except Exception as error:
            shapes = [list(tensor.shape) for tensor in joint]
            message = f"the imported model cannot be run on inputs of shape {shapes}: {_short(error)}"
            raise IntakeError(limits.IMPORT_FAILED, message) from error

    def _judge(
        self,
        reference: Reference,
        parts: Sequence[Sequence[Tensor]],
        expected: Sequence[Sequence[Array]],
        source: Source,
        results: Sequence[Tensor],
    ) -> Verification:
        joint = [
            arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
            for arrays in zip(*expected, strict=True)
        ]
        whole = difference_of(results, joint)
        if whole.relative <= WARN:
            return Verification(whole.absolute, whole.relative, reference.name, source)
        nodes = self._node_by_node(reference, parts)
        counts = whole if nodes is None or not nodes.relative < whole.relative else nodes
        return Verification(
            whole.absolute,
            counts.relative,
            reference.name,
            source,
            node_by_node=nodes is not None,
            where=None if nodes is None else nodes.where,
        )

    def _node_by_node(self, reference: Reference, parts: Sequence[Sequence[Tensor]]) -> Difference | None:
        """Compare node by node, on as many samples as fit; None where the reference cannot."""
        worst = None
        for part in parts:
            inputs = [tensor[: self._fitting(len(tensor))] for tensor in part]
            try:
                values = reference.run_through(self._named(inputs))
                found = node_by_node(self._imported.module, inputs, values)
            except Exception:  # noqa: BLE001 - then the difference of the whole counts
                return None
            if found is None:
                return None
            if worst is None or not found.relative <= worst.relative:
                worst = found
        return worst

    def _fitting(self, samples: int) -> int:
        if self._baked_in is not None:
            return samples
        numbers = sum(
            math.prod(dim for dim in (kind.shape or ())[1:] if isinstance(dim, int))
            for kind in self._graph.types.values()
        )
        return max(1, min(samples, _MOST_NUMBERS_BETWEEN // max(numbers, 1)))

    def _not_run(self, on: str) -> IntakeError:
        problems = "; ".join(dict.fromkeys(self._problems[:1] + self._problems[-1:]))
        return IntakeError(limits.INVALID, f"the model cannot be run on {on}: {problems}")


def _tells_something(array: Array) -> bool:
    """Whether an output is finite and not the same number everywhere."""
    numbers = array.astype(np.float64).reshape(-1)
    return bool(np.isfinite(numbers).all() and (numbers.size == 1 or (numbers != numbers[0]).any()))


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _run(imported: ImportedModel, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        result = imported.module(*inputs)
    return result if isinstance(result, tuple) else (result,)


def _as_taken(array: Array, dtype: str) -> Array:
    return np.ascontiguousarray(array, np.float32 if dtype.startswith(("float", "bfloat")) else array.dtype)
