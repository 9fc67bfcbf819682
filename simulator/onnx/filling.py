"""Gives the sizes that a file leaves open the values that a dataset's samples have; the batch stays open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx

from simulator.onnx.graph import Graph
from simulator.onnx.reading import CheckedModel


def filled(checked: CheckedModel, graph: Graph, samples: Sequence[Sequence[int]]) -> CheckedModel:
    """Return a model whose inputs are as large as samples are.

    A size with a name is filled wherever the name stands; one that two samples say differently stays open.

    Args:
        checked: the model as it was read.
        graph: its graph, which knows which inputs have the time first in the file.
        samples: the shape of a sample for each input, in their order, without the batch.
    """
    named: dict[str, set[int]] = {}
    placed: dict[tuple[str, int], int] = {}
    for name, sample in zip(graph.inputs, samples, strict=False):
        shape = graph.shape(name) or ()
        if len(shape) != len(sample) + 1:
            continue
        for axis, (dim, size) in enumerate(zip(shape[1:], sample, strict=True), start=1):
            if isinstance(dim, str):
                named.setdefault(dim, set()).add(size)
            elif dim is None:
                placed[name, 0 if axis == 1 and name in graph.turned else axis] = size
    batch = {shape[0] for shape in map(graph.shape, graph.inputs) if shape}
    known = {dim: next(iter(sizes)) for dim, sizes in named.items() if len(sizes) == 1 and dim not in batch}
    skeleton = onnx.ModelProto()
    skeleton.CopyFrom(checked.skeleton)
    values = (*skeleton.graph.input, *skeleton.graph.output, *skeleton.graph.value_info)
    for value in values:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            found = known.get(dim.dim_param) if dim.dim_param else placed.get((value.name, axis))
            if found is not None and not dim.dim_value:
                dim.dim_value = found
    return replace(checked, skeleton=skeleton)
