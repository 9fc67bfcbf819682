"""The report on an uploaded model: made without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulator.onnx.batch_axis import TURNED
from simulator.onnx.building import build_graph
from simulator.onnx.endings import ending_of
from simulator.onnx.filling import filled
from simulator.onnx.graph import Graph
from simulator.onnx.layers import RECURRENT_MODULES, Layer, Port
from simulator.onnx.plan import FunctionStep, Plan, make_plan
from simulator.onnx.reading import CheckedModel, read_model
from simulator.onnx.sizes import Sizes
from simulator.onnx.work import digital_work


def inspect_model(
    data: bytes,
    *,
    nodes: bool = False,
    outputs: Sequence[str] | None = None,
    samples: Sequence[Sequence[int]] | None = None,
) -> dict[str, Any]:
    """Return the report of a model, as the API shows it.

    Args:
        data: bytes of one `.onnx` file.
        nodes: whether to list for each node what it becomes.
        outputs: names of the outputs that are wanted; see `read_model`.
        samples: the shape of a sample for each input, which sizes that the file leaves open are given.

    Returns:
        `{sha256, size_bytes, opset, producer, inputs, outputs, parameters, layers, operations, warnings}`. A
        layer is `{name, op, kind, weight_shape, reason?}`; its name is the qualified name of the imported
        module. An output has an `activation`: what it ends in, where that says what its numbers are.
        `operations` is what is computed in digital, see `digital_work`.

    Raises:
        IntakeError: the file is refused, with every fault found.
    """
    checked = read_model(data, outputs)
    graph = build_graph(checked)
    if samples is not None:
        checked = filled(checked, graph, samples)
        graph = build_graph(checked)
    shown = [_value(graph, checked, name) | _activation(graph, name) for name in graph.outputs]
    plan = make_plan(graph)
    sizes = Sizes(graph, plan.fixed_batch)
    report = {
        "sha256": checked.sha256,
        "size_bytes": checked.size_bytes,
        "opset": checked.opset,
        "producer": checked.producer,
        "inputs": [_value(graph, checked, name) for name in graph.inputs],
        "outputs": shown,
        "parameters": sum(_numbers_in(graph, layer) for layer in plan.layers),
        "layers": [_layer(graph, layer, sizes) for layer in plan.layers if layer.ports],
        "operations": digital_work(graph, plan),
        "warnings": [
            {"code": code, "message": message}
            for code, message in _warnings(checked, plan, graph.turned).items()
        ],
    }
    if nodes:
        report["nodes"] = [_node(step) for step in plan.steps]
    return report


def _value(graph: Graph, checked: CheckedModel, name: str) -> dict[str, Any]:
    kind = graph.types[name]
    shape = None if kind.shape is None else list(kind.shape)
    return {
        "name": name.removesuffix(TURNED),
        "dtype": checked.input_dtypes.get(name, kind.dtype),
        "shape": shape,
    }


def _activation(graph: Graph, name: str) -> dict[str, str | None]:
    ending = ending_of(graph, name)
    return {"activation": None if ending is None else ending.activation}


def _numbers_in(graph: Graph, layer: Layer) -> int:
    values = {port.value for port in layer.ports}
    return sum(graph.constants[value].size for value in values)


def _positions(graph: Graph, layer: Layer, sizes: Sizes) -> int | None:
    """Return at how many positions of one sample the layer's matrix is applied; None where sizes are open.

    Args:
        graph: the graph.
        layer: one whose weights can be on tiles.
        sizes: of the graph's values.
    """
    if layer.module in RECURRENT_MODULES:
        shape = graph.shape(layer.ports[0].consumer)  # [time, directions, batch, hidden]
        return shape[0] if shape is not None and isinstance(shape[0], int) else None
    total = 0
    for port in layer.ports:
        if not port.keys[0].startswith("weight"):
            continue  # a bias that a node of its own adds belongs to the same product
        places = _places(graph, layer, port, sizes)
        if places is None:
            return None
        total += places
    return total


def _places(graph: Graph, layer: Layer, port: Port, sizes: Sizes) -> int | None:
    shape = graph.shape(port.consumer)
    if shape is not None and layer.module.startswith("Conv"):
        return sizes.product(shape[:1] + shape[2:])
    node = graph.producers.get(port.consumer)
    if layer.module == "Linear" and node is not None and node.op in ("MatMul", "Gemm"):
        data = sizes.of(node.inputs[1 if port.position == 0 else 0])  # known through views of it, too
        return None if data is None else data // layer.weight_shape[1]
    return None if shape is None else sizes.product(shape[:-1])


def _layer(graph: Graph, layer: Layer, sizes: Sizes) -> dict[str, Any]:
    entry = {
        "name": layer.name,
        "op": layer.module,
        "kind": layer.kind,
        "weight_shape": list(layer.weight_shape),
        "groups": int(layer.arguments.get("groups", 1)),
        "bias": any(key.endswith("bias") for port in layer.ports for key in port.keys),
        "positions": _positions(graph, layer, sizes) if layer.kind == "analog" else None,
    }
    if layer.module in RECURRENT_MODULES:
        entry["matrices"] = _matrices(layer)
    return entry | ({"reason": layer.reason} if layer.reason else {})


def _matrices(layer: Layer) -> list[list[int]]:
    """Return the shapes of a recurrent layer's weight matrices: input and hidden, for every direction."""
    directions = 2 if layer.arguments["bidirectional"] else 1
    rows, hidden = layer.weight_shape[0] // directions, layer.arguments["hidden_size"]
    return [[rows, layer.weight_shape[1]], [rows, int(hidden)]] * directions


def _node(step: Any) -> dict[str, Any]:
    became = "function" if isinstance(step, FunctionStep) else step.layer.name
    return {"name": step.node.name, "op": step.node.op, "became": became}


def _warnings(checked: CheckedModel, plan: Plan, turned: set[str]) -> dict[str, str]:
    warnings = {**checked.notes, **plan.warnings}
    if turned:
        warnings["time_first"] = (
            f"the file has the time before the batch in {', '.join(sorted(turned))}; it is simulated with "
            "the batch first, as datasets have their samples"
        )
    if checked.half_precision:
        warnings["half_precision"] = (
            "the file computes in 16 bits; it is simulated in 32 bits and written back in 16"
        )
    if checked.double_precision:
        warnings["double_precision"] = (
            "the file computes in 64 bits; it is simulated in 32 bits and written back in 64"
        )
    return warnings
