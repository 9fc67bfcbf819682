"""A small encoder with outlier columns, as sentence encoders have them, made without training.

An image of `builtin:digits` is eight tokens of eight pixels. Random features go through attention and a
feed-forward block; the head is the least-squares one. A few columns of each matrix are many times larger than
the others, and what comes out of them is scaled back digitally: in floating point nothing changes, but on
tiles whose weights share one scale the other columns are next to nothing.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from simulator.data.loading import load_dataset
from simulator.onnx.importer import import_model

TOKENS, PIXELS, WIDTH, HIDDEN, CLASSES = 8, 8, 32, 64, 10
LARGER = 60.0  # of an outlier column over the others
OUTLIERS = 2  # of each matrix
Array = NDArray[np.float32]


def encoder(*, larger: float = LARGER) -> bytes:
    """Return the encoder as an ONNX file."""
    weights = _weights()
    train = load_dataset("builtin:digits").train
    features = import_model(_file(weights, larger, head=None)).module.eval()
    with torch.no_grad():
        found = features(train.inputs[0]).double().numpy()
    wanted = np.eye(CLASSES)[train.targets.numpy()] - 1 / CLASSES
    gram = found.T @ found + 1e-2 * len(found) * np.eye(found.shape[1])
    weights["head"] = np.linalg.solve(gram, found.T @ wanted).astype(np.float32)
    return _file(weights, larger, head="head")


def _weights() -> dict[str, Array]:
    rng = np.random.default_rng(11)

    def drawn(rows: int, columns: int, gain: float) -> Array:
        return (gain * rng.normal(size=(rows, columns)) / np.sqrt(rows)).astype(np.float32)

    return {
        "embedding": drawn(PIXELS, WIDTH, 3.0),
        "query": drawn(WIDTH, WIDTH, 1.0),
        "key": drawn(WIDTH, WIDTH, 1.0),
        "value": drawn(WIDTH, WIDTH, 1.0),
        "up": drawn(WIDTH, HIDDEN, 1.5),
        "down": drawn(HIDDEN, WIDTH, 1.5),
    }


class _Graph:
    """Collects nodes and constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: Array | NDArray[np.int64]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [name], name=f"/{name}", **attributes)  # type: ignore[arg-type]
        self.nodes.append(node)
        return name

    def linear(self, name: str, x: str, weight: Array, larger: float) -> str:
        """Multiply, with outlier columns that are scaled back behind the product."""
        scale = np.ones(weight.shape[1], np.float32)
        scale[:: weight.shape[1] // OUTLIERS] = larger
        product = f"{name}_product"
        self.constant(f"{name}.weight", weight * scale)
        self.nodes.append(
            helper.make_node("MatMul", [x, f"{name}.weight"], [product], name=f"/{name}/MatMul")
        )
        return self.add("Mul", product, self.constant(f"{name}.back", 1 / scale))


def _file(weights: dict[str, Array], larger: float, *, head: str | None) -> bytes:
    graph = _Graph()
    ones = graph.constant("ones", np.ones(WIDTH, np.float32))
    zeros = graph.constant("zeros", np.zeros(WIDTH, np.float32))
    shape = graph.constant("tokens", np.array([-1, TOKENS, PIXELS]))
    position = np.random.default_rng(12).normal(size=(TOKENS, WIDTH)).astype(np.float32)
    x = graph.add("Reshape", "x", shape)
    x = graph.linear("embedding", x, weights["embedding"], larger)
    x = graph.add("Add", x, graph.constant("position", position))
    query, key, value = (graph.linear(name, x, weights[name], larger) for name in ("query", "key", "value"))
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 2, 1]))
    scores = graph.add("Mul", scores, graph.constant("root", np.float32(WIDTH**-0.5).reshape(1)))
    attended = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    x = graph.add("LayerNormalization", graph.add("Add", x, attended), ones, zeros)
    hidden = graph.add("Relu", graph.linear("up", x, weights["up"], larger))
    x = graph.add("Add", x, graph.linear("down", hidden, weights["down"], larger))
    x = graph.add("LayerNormalization", x, ones, zeros)
    x = graph.add("Flatten", x)
    if head is not None:
        x = graph.linear(head, x, weights[head], larger)
    size = TOKENS * WIDTH if head is None else CLASSES
    made = helper.make_graph(
        graph.nodes,
        "encoder",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", TOKENS * PIXELS])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", size])],
        graph.constants,
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(
        made, opset_imports=opset, ir_version=9, producer_name="test"
    ).SerializeToString()
