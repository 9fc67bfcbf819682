"""Recognises layers in nodes: one function per operator, which returns the torch module that a node is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from simulator.onnx.graph import Graph, Node
from simulator.onnx.layers import Draft, Port, UnsupportedVariantError
from simulator.onnx.layouts import Shaped
from simulator.onnx.recognise_recurrent import recognise_recurrent

_BATCH_NORM_OF_RANK = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}


def _constant(graph: Graph, node: Node, position: int) -> bool:
    """Whether an input is a constant of floating-point numbers: whole numbers are no weights."""
    constant = graph.constants.get(node.input(position))
    return constant is not None and constant.dtype == np.float32


def _shape(graph: Graph, node: Node, position: int) -> tuple[int, ...]:
    return tuple(graph.constants[node.input(position)].shape)


def _port(
    graph: Graph,
    node: Node,
    position: int,
    key: str,
    torch_shape: tuple[int, ...],
    *,
    transposed: bool = False,
    scale: float = 1.0,
) -> Port:
    layout = Shaped(_shape(graph, node, position), torch_shape, transposed, scale)
    consumer, place = node.sources.get(position, (node.outputs[0], position))
    return Port(node.input(position), consumer, place, (key,), layout)


def _is_made_of_zeros(graph: Graph, name: str) -> bool:
    """Whether a constant is computed, not stored, and zero: a bias that the user's layer does not have."""
    return name not in graph.origins and not graph.constants[name].any()


def _bias_added_after(graph: Graph, node: Node, features: int, trailing: int) -> tuple[Node, Port] | None:
    """Return the Add that gives a layer's output its bias, if there is one and nothing else reads the output.

    Args:
        graph: the graph.
        node: the layer's own node.
        features: length of the bias.
        trailing: how many dimensions follow that of the features.
    """
    output = node.outputs[0]
    add = graph.sole_reader(output)
    if add is None or add.op != "Add":
        return None
    position = 1 if add.inputs[0] == output else 0
    bias = graph.constants.get(add.inputs[position])
    if bias is None or bias.dtype != np.float32:
        return None
    rank = graph.rank(output)
    wanted = (features,) + (1,) * trailing
    fits = bias.shape[-len(wanted) :] == wanted and bias.size == features
    if not fits or (bias.ndim > len(wanted) and (rank is None or bias.ndim > rank)):
        return None
    return add, _port(graph, add, position, "bias", (features,))


def _recognise_conv(graph: Graph, node: Node) -> Draft | None:
    if not _constant(graph, node, 1) or (node.input(2) and not _constant(graph, node, 2)):
        return None
    weight = _shape(graph, node, 1)
    dims = len(weight) - 2
    if dims not in (1, 2, 3):
        raise UnsupportedVariantError(f"a convolution over {dims} dimensions; 1 to 3 are supported")
    attributes = node.attributes
    groups = attributes.get("group", 1)
    kernel = tuple(weight[2:])
    auto_pad = attributes.get("auto_pad", "NOTSET")
    pads = tuple(attributes.get("pads") or (0,) * 2 * dims)
    symmetric = pads[:dims] == pads[dims:] and min(pads) >= 0 and auto_pad == "NOTSET"
    same = auto_pad in ("SAME_UPPER", "SAME_LOWER")
    ports = [_port(graph, node, 1, "weight", weight)]
    outputs, absorbed = node.outputs, None
    if node.input(2):
        if not _is_made_of_zeros(graph, node.input(2)):
            ports.append(_port(graph, node, 2, "bias", (weight[0],)))
    elif (added := _bias_added_after(graph, node, weight[0], dims)) is not None:
        absorbed, port = added
        ports.append(port)
        outputs = absorbed.outputs
    arguments = {
        "in_channels": weight[1] * groups,
        "out_channels": weight[0],
        "kernel_size": kernel,
        "stride": tuple(attributes.get("strides") or (1,) * dims),
        "padding": pads[:dims] if symmetric else (0,) * dims,
        "dilation": tuple(attributes.get("dilations") or (1,) * dims),
        "groups": groups,
        "bias": len(ports) == 2,
    }
    before = auto_pad if same else None if symmetric or auto_pad == "VALID" else pads
    return Draft(
        module=f"Conv{dims}d",
        kind="analog",
        weight=node.input(1),
        weight_shape=weight,
        arguments=arguments,
        ports=tuple(ports),
        inputs=(node.inputs[0],),
        outputs=outputs,
        absorbed=absorbed,
        pads=before,
    )


def _recognise_conv_transpose(graph: Graph, node: Node) -> Draft | None:
    if not _constant(graph, node, 1) or (node.input(2) and not _constant(graph, node, 2)):
        return None
    weight = _shape(graph, node, 1)
    dims = len(weight) - 2
    attributes = node.attributes
    pads = tuple(attributes.get("pads") or (0,) * 2 * dims)
    if dims not in (1, 2, 3) or pads[:dims] != pads[dims:] or "output_shape" in attributes:
        raise UnsupportedVariantError("only symmetric padding without an output shape is supported")
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise UnsupportedVariantError("automatic padding is not supported")
    groups = attributes.get("group", 1)
    channels = weight[1] * groups
    ports = [_port(graph, node, 1, "weight", weight)]
    if node.input(2) and not _is_made_of_zeros(graph, node.input(2)):
        ports.append(_port(graph, node, 2, "bias", (channels,)))
    return Draft(
        module=f"ConvTranspose{dims}d",
        kind="digital",
        reason="transposed convolutions run digitally",
        weight=node.input(1),
        weight_shape=weight,
        arguments={
            "in_channels": weight[0],
            "out_channels": channels,
            "kernel_size": tuple(weight[2:]),
            "stride": tuple(attributes.get("strides") or (1,) * dims),
            "padding": pads[:dims],
            "output_padding": tuple(attributes.get("output_padding") or (0,) * dims),
            "groups": groups,
            "bias": len(ports) == 2,
            "dilation": tuple(attributes.get("dilations") or (1,) * dims),
        },
        ports=tuple(ports),
        inputs=(node.inputs[0],),
    )


def _recognise_gemm(graph: Graph, node: Node) -> Draft | None:
    attributes = node.attributes
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    if not _constant(graph, node, 1) or _constant(graph, node, 0) or attributes.get("transA") or not alpha:
        return None
    stored = _shape(graph, node, 1)
    transposed = not attributes.get("transB", 0)
    weight = stored[::-1] if transposed else stored
    ports = [_port(graph, node, 1, "weight", weight, transposed=transposed, scale=alpha)]
    outputs, absorbed = node.outputs, None
    bias = node.input(2)
    if bias:
        if bias not in graph.constants or not beta:
            return None
        shape = _shape(graph, node, 2)
        if graph.constants[bias].size not in (1, weight[0]) or (shape and shape[-1] not in (1, weight[0])):
            return None
        if graph.constants[bias].size == weight[0] != 1 and shape[-1] != weight[0]:
            return None  # a number per row of the batch, not per output
        if not _is_made_of_zeros(graph, bias):
            ports.append(_port(graph, node, 2, "bias", (weight[0],), scale=beta))
    elif (added := _bias_added_after(graph, node, weight[0], 0)) is not None:
        absorbed, port = added
        ports.append(port)
        outputs = absorbed.outputs
    return _linear(node, weight, tuple(ports), outputs, absorbed)


def _recognise_matmul(graph: Graph, node: Node) -> Draft | None:
    if not _constant(graph, node, 1) or _constant(graph, node, 0) or graph.rank(node.inputs[1]) != 2:
        return None
    if graph.rank(node.inputs[0]) == 1:
        return None
    weight = _shape(graph, node, 1)[::-1]
    ports = [_port(graph, node, 1, "weight", weight, transposed=True)]
    added = _bias_added_after(graph, node, weight[0], 0)
    if added is None:
        return _linear(node, weight, tuple(ports), node.outputs, None)
    absorbed, port = added
    return _linear(node, weight, (*ports, port), absorbed.outputs, absorbed)


def _linear(
    node: Node,
    weight: tuple[int, ...],
    ports: tuple[Port, ...],
    outputs: tuple[str, ...],
    absorbed: Node | None,
) -> Draft:
    return Draft(
        module="Linear",
        kind="analog",
        weight=node.input(1),
        weight_shape=weight,
        arguments={"in_features": weight[1], "out_features": weight[0], "bias": len(ports) == 2},
        ports=ports,
        inputs=(node.inputs[0],),
        outputs=outputs,
        absorbed=absorbed,
    )


def _recognise_batch_norm(graph: Graph, node: Node) -> Draft | None:
    if not all(_constant(graph, node, position) for position in range(1, 5)):
        return None
    if node.attributes.get("spatial", 1) != 1:
        raise UnsupportedVariantError("statistics per position (spatial=0) are not supported")
    if any(name in graph.consumers or name in graph.outputs for name in node.outputs[1:]):
        raise UnsupportedVariantError("its statistics are outputs; export the model in evaluation mode")
    channels = _shape(graph, node, 1)
    rank = graph.rank(node.outputs[0]) or graph.rank(node.inputs[0]) or 4
    if rank not in _BATCH_NORM_OF_RANK:
        raise UnsupportedVariantError(f"a value of {rank} dimensions; 2 to 5 are supported")
    keys = ("weight", "bias", "running_mean", "running_var")
    return Draft(
        module=_BATCH_NORM_OF_RANK[rank],
        kind="digital",
        reason="normalisation is computed in digital",
        weight=node.input(1),
        weight_shape=channels,
        arguments={
            "num_features": channels[0],
            "eps": node.attributes.get("epsilon", 1e-5),
            "momentum": 1.0 - node.attributes.get("momentum", 0.9),
        },
        ports=tuple(_port(graph, node, 1 + i, key, channels) for i, key in enumerate(keys)),
        inputs=(node.inputs[0],),
        outputs=node.outputs[:1],
        shareable=False,  # untrained normalisations share equal numbers without being one layer
    )


def _recognise_layer_norm(graph: Graph, node: Node) -> Draft | None:
    if not _constant(graph, node, 1) or (node.input(2) and not _constant(graph, node, 2)):
        return None
    shape = _shape(graph, node, 1)
    rank = graph.rank(node.inputs[0])
    axis = node.attributes.get("axis", -1)
    dims = -axis if axis < 0 else None if rank is None else rank - axis
    if len(node.outputs) > 1 or dims != len(shape):
        return None
    ports = [_port(graph, node, 1, "weight", shape)]
    if node.input(2):
        if _shape(graph, node, 2) != shape:
            return None
        ports.append(_port(graph, node, 2, "bias", shape))
    return Draft(
        module="LayerNorm",
        kind="digital",
        reason="normalisation is computed in digital",
        weight=node.input(1),
        weight_shape=shape,
        arguments={
            "normalized_shape": shape,
            "eps": node.attributes.get("epsilon", 1e-5),
            "bias": len(ports) == 2,
        },
        ports=tuple(ports),
        inputs=(node.inputs[0],),
        shareable=False,
    )


def _recognise_embedding(graph: Graph, node: Node) -> Draft | None:
    if not _constant(graph, node, 0) or _constant(graph, node, 1) or node.attributes.get("axis", 0) != 0:
        return None
    table = graph.constants[node.inputs[0]]
    if table.ndim != 2 or table.dtype != np.float32:
        return None
    rows, width = table.shape
    return Draft(
        module="Embedding",
        kind="digital",
        reason="a row is looked up, not multiplied",
        weight=node.inputs[0],
        weight_shape=(rows, width),
        arguments={"num_embeddings": rows, "embedding_dim": width},
        ports=(_port(graph, node, 0, "weight", (rows, width)),),
        inputs=(node.inputs[1],),
    )


def _recognise_dropout(graph: Graph, node: Node) -> Draft | None:
    if len(node.outputs) > 1 and (node.outputs[1] in graph.consumers or node.outputs[1] in graph.outputs):
        raise UnsupportedVariantError("its mask is used; export the model in evaluation mode")
    ratio = node.attributes.get("ratio", 0.5)
    if node.input(1):
        if not _constant(graph, node, 1):
            raise UnsupportedVariantError("its ratio is computed")
        ratio = float(graph.constants[node.input(1)].reshape(-1)[0])
    return Draft(
        module="Dropout",
        kind="digital",
        weight="",
        weight_shape=(),
        arguments={"p": ratio},
        ports=(),
        inputs=(node.inputs[0],),
        outputs=node.outputs[:1],
        shareable=False,
    )


RECOGNISERS: Mapping[str, Callable[[Graph, Node], Draft | None]] = {
    "BatchNormalization": _recognise_batch_norm,
    "Conv": _recognise_conv,
    "ConvTranspose": _recognise_conv_transpose,
    "Dropout": _recognise_dropout,
    "GRU": recognise_recurrent,
    "Gather": _recognise_embedding,
    "Gemm": _recognise_gemm,
    "LSTM": recognise_recurrent,
    "LayerNormalization": _recognise_layer_norm,
    "MatMul": _recognise_matmul,
    "RNN": recognise_recurrent,
}
