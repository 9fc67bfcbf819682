"""What each node of a graph becomes: a layer with weights, a plain function, or part of a layer before it.

The plan needs no torch. The report of an upload and the importer both follow it, so that the names in the one
are the names in the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from simulator.intake import Fault, IntakeError
from simulator.onnx import limits
from simulator.onnx.graph import Graph, Node
from simulator.onnx.layers import Draft, Layer, Port, UnsupportedVariantError
from simulator.onnx.layouts import Shaped
from simulator.onnx.naming import Names, layer_of_parameter, loose_parameter
from simulator.onnx.patterns import fuse_patterns
from simulator.onnx.recognise import RECOGNISERS
from simulator.onnx.supported import INPUTS, OUTPUTS, RECURRENT, SUPPORTED_VALUES, TRAINABLE_INPUTS

OPEN_BATCH_EXPORT = (
    "export with torch.onnx.export(..., dynamic_shapes=({0: torch.export.Dim('batch')},)) or, with "
    "dynamo=False, dynamic_axes={'<input>': {0: 'batch'}}"
)
# Operators whose constant matrix is a weight whatever it is called.
_MULTIPLIES = frozenset(["MatMul", "Gemm", "Einsum", "Conv", "ConvTranspose"])
_DIGITAL_REASONS = {
    "MatMul": "the constant does not multiply an activation from the right as one matrix",
    "Gemm": "its weight or bias is computed from the input, or it transposes the activation",
    "Einsum": "an Einsum is not a single matrix product",
    "Add": "it is added to an activation, not multiplied with it",
    "Mul": "it multiplies element by element",
}


@dataclass(frozen=True)
class LayerStep:
    """Call of a module: it reads `inputs` and gives `outputs`, names of values in the graph.

    Attributes:
        pads: padding by zeros before the call, begins then ends, or the words SAME_UPPER or SAME_LOWER.
        reverse: whether a recurrent layer reads the sequence backwards.
    """

    layer: Layer
    node: Node
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    pads: tuple[int, ...] | str | None = None
    reverse: bool = False


@dataclass(frozen=True)
class FunctionStep:
    """Call of an operator's function; `literals` replaces inputs by numbers known beforehand."""

    node: Node
    literals: Mapping[int, list[int]] = field(default_factory=dict)


@dataclass
class Plan:
    """What becomes of a graph.

    Attributes:
        steps: calls in order.
        layers: what holds weights, each once, loose parameters last.
        loose: loose parameters by the name of the value they replace.
        warnings: what the user should know, by code.
        fixed_batch: the batch size that is baked into the file, None if it is open.
    """

    steps: list[LayerStep | FunctionStep]
    layers: list[Layer]
    loose: dict[str, Layer]
    warnings: dict[str, str]
    fixed_batch: int | None


def make_plan(graph: Graph) -> Plan:
    """Decide what each node becomes.

    Args:
        graph: the folded graph; nodes that together are one operator are replaced by one in it.

    Raises:
        IntakeError: `unsupported_operator` naming every node that cannot be built, `non_finite_weights`.
    """
    fuse_patterns(graph)
    planner = _Planner(graph)
    faults = []
    for node in graph.nodes:
        try:
            planner.add(node)
        except UnsupportedVariantError as error:
            label = f"node {node.name or node.outputs[0]!r} ({node.op})"
            faults.append(Fault(limits.UNSUPPORTED_OPERATOR, f"{label}: {error}"))
    if faults:
        message = f"{len(faults)} nodes use an operator in a way that is not supported: {faults[0].message}"
        raise IntakeError(limits.UNSUPPORTED_OPERATOR, message, faults)
    plan = planner.finish()
    _check_finite(graph, plan)
    return plan


class _Planner:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._names = Names()
        self._steps: list[LayerStep | FunctionStep] = []
        self._layers: list[Layer] = []
        self._ports: dict[str, list[Port]] = {}
        self._shared: dict[tuple[Any, ...], Layer] = {}
        self._absorbed: set[int] = set()

    def add(self, node: Node) -> None:
        if id(node) in self._absorbed:
            return
        recognise = RECOGNISERS.get(node.op)
        draft = recognise(self._graph, node) if recognise else None
        if draft is None:
            _check_variant(node)
            self._steps.append(FunctionStep(node, _literals(self._graph, node)))
            return
        if draft.absorbed is not None:
            self._absorbed.add(id(draft.absorbed))
        layer = self._layer(draft, node)
        outputs = draft.outputs or node.outputs
        self._steps.append(LayerStep(layer, node, draft.inputs, outputs, draft.pads, draft.reverse))

    def finish(self) -> Plan:
        loose = self._loose_parameters()
        layers = [replace(layer, ports=tuple(self._ports[layer.name])) for layer in self._layers]
        layers += list({layer.name: layer for layer in loose.values()}.values())
        batch = fixed_batch(self._graph)
        return Plan(self._steps, layers, loose, _warnings(batch, layers), batch)

    def _layer(self, draft: Draft, node: Node) -> Layer:
        # The same weights in two nodes are one module called twice, unless the exporter says otherwise.
        values = tuple(port.value for port in draft.ports)
        key = (draft.module, values, repr(sorted(draft.arguments.items())))
        known = self._shared.get(key) if draft.shareable and values else None
        if known is not None and not (node.scope and known.scope and node.scope.contradicts(known.scope)):
            self._ports[known.name] += draft.ports
            return known
        layer = Layer(
            name=self._names.claim(self._candidates(draft, node), node.op.lower()),
            module=draft.module,
            kind=draft.kind,
            weight_shape=draft.weight_shape,
            arguments=draft.arguments,
            ports=draft.ports,
            reason=draft.reason,
            scope=node.scope,
        )
        self._layers.append(layer)
        self._ports[layer.name] = list(draft.ports)
        self._shared[key] = layer
        return layer

    def _candidates(self, draft: Draft, node: Node) -> list[str | None]:
        origins = self._graph.origins
        ports = sorted(draft.ports, key=lambda port: port.value != draft.weight)
        told = [layer_of_parameter(origins[port.value]) for port in ports if port.value in origins]
        # A weight that modules share is named after one of them; then the module itself says more. An
        # embedding is one node that no exporter changes.
        scope = node.scope.path if node.scope else None
        scopes = {reader.scope for reader in self._graph.consumers.get(draft.weight, [])}
        return [scope, *told] if len(scopes) > 1 or draft.module == "Embedding" else [*told, scope]

    def _loose_parameters(self) -> dict[str, Layer]:
        """Name the trainable constants that plain functions read."""
        graph, loose = self._graph, {}
        for step in self._steps:
            if not isinstance(step, FunctionStep):
                continue
            for position, value in enumerate(step.node.inputs):
                if value in loose or not self._trainable(step.node, position):
                    continue
                array = graph.constants[value]
                scope = step.node.scope.path if step.node.scope else None
                told = loose_parameter(graph.origins.get(value, "0"))
                name = self._names.claim([told, scope], step.node.op.lower())
                shape = tuple(array.shape)
                readers = [node for node in graph.consumers[value] if value in node.inputs]
                ports = tuple(
                    Port(value, node.outputs[0], where, ("",), Shaped(shape, shape))
                    for node in readers
                    for where, read in enumerate(node.inputs)
                    if read == value
                )
                reason = _DIGITAL_REASONS.get(step.node.op, f"{step.node.op} is computed in digital")
                loose[value] = Layer(name, "Parameter", "digital", shape, {}, ports, reason, step.node.scope)
        return loose

    def _trainable(self, node: Node, position: int) -> bool:
        value = node.inputs[position]
        array = self._graph.constants.get(value)
        if position not in TRAINABLE_INPUTS.get(node.op, ()):
            return False
        if array is None or array.dtype != np.float32 or array.size < 2 or not np.isfinite(array).all():
            return False
        if node.op in _MULTIPLIES:
            return array.ndim >= 2
        return loose_parameter(self._graph.origins.get(value, "0")) is not None


def _check_variant(node: Node) -> None:
    for attribute, values in SUPPORTED_VALUES.get(node.op, {}).items():
        value = node.attributes.get(attribute, values[0])
        if value not in values:
            raise UnsupportedVariantError(f"{attribute}={value!r} is not supported")
    if len(node.outputs) > OUTPUTS.get(node.op, len(node.outputs)):
        raise UnsupportedVariantError("its further outputs are not supported")
    if len(node.inputs) > INPUTS.get(node.op, len(node.inputs)):
        raise UnsupportedVariantError("its further inputs are not supported")
    if node.op in RECURRENT or node.op == "Dropout":
        raise UnsupportedVariantError("its weights are not constant")


def _literals(graph: Graph, node: Node) -> dict[int, list[int]]:
    """Return a Reshape's target if all but the batch is known: then no shape is computed at run time."""
    if node.op != "Reshape" or node.input(1) in graph.constants:
        return {}
    shape = graph.shape(node.outputs[0])
    if shape is None or sum(not isinstance(dim, int) for dim in shape) != 1 or 0 in shape:
        return {}
    return {1: [dim if isinstance(dim, int) else -1 for dim in shape]}


def _check_finite(graph: Graph, plan: Plan) -> None:
    code = limits.NON_FINITE_WEIGHTS
    faults = [
        Fault(code, f"the weight {port.value!r} of the layer {layer.name!r} holds infinite numbers")
        for layer in plan.layers
        for port in layer.ports
        if not np.isfinite(graph.constants[port.value]).all()
    ]
    if faults:
        raise IntakeError(code, "some weights are infinite", faults)


def _warnings(batch: int | None, layers: list[Layer]) -> dict[str, str]:
    warnings = {}
    if batch is not None:
        warnings[limits.FIXED_BATCH] = (
            f"the batch size {batch} is baked into the file; it is taken out where that is safe, and else "
            f"the model is refused; to be sure, {OPEN_BATCH_EXPORT}"
        )
    folded = any("weight_bias" in port.value for layer in layers for port in layer.ports)
    made_up = any(
        layer.module.startswith("Conv")
        and all(layer_of_parameter(port.value) is None for port in layer.ports)
        for layer in layers
    )
    if folded or made_up:
        warnings["batch_norm_folded"] = (
            "the exporter seems to have folded batch normalisation into convolutions, so fine-tuning cannot "
            "adapt it; to keep it, export with optimize=False, or with dynamo=False, "
            "training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False"
        )
    if not any(layer.kind == "analog" for layer in layers):
        warnings["no_analog_layers"] = "no layer of this model can be programmed onto analog tiles"
    return warnings


def fixed_batch(graph: Graph) -> int | None:
    """Return the batch size that all inputs have baked in, None if it is open or they disagree."""
    leading = {(graph.shape(name) or (None,))[0] for name in graph.inputs}
    (size,) = leading if len(leading) == 1 else (None,)
    return size if isinstance(size, int) else None
