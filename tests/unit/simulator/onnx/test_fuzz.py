"""Random graphs of supported operators: an import computes what the reference runtime does."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.onnx import export_model, import_model, inspect_model, verify_imported
from tests.unit.simulator.onnx.graphs import floats, model_of, node

UNARY = [
    "Abs",
    "Ceil",
    "Cos",
    "Elu",
    "Erf",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "LogSoftmax",
    "Mish",
    "Neg",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
]
REDUCTIONS = ["ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceL2"]


class Builder:
    """Grows a graph node by node; every value has the shape `[batch, ...]`."""

    def __init__(self, shape):
        self.nodes, self.constants = [], {}
        self.values = [("x", tuple(shape))]

    def constant(self, array):
        name = f"weight{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def add(self, op, inputs, shape, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(node(op, inputs, [name], **attributes))
        self.values.append((name, tuple(shape)))

    def model(self):
        name, shape = self.values[-1]
        output = {name: (1, ["batch", *shape])}
        inputs = {"x": (1, ["batch", *self.values[0][1]])}
        return model_of(self.nodes, self.constants, inputs=inputs, outputs=output, opset=20)


def add_unary(draw, builder, name, shape):
    builder.add(draw(st.sampled_from(UNARY)), [name], shape)


def add_constant(draw, builder, name, shape):
    broadcast = [draw(st.sampled_from([1, size])) for size in shape]
    op = draw(st.sampled_from(["Add", "Sub", "Mul", "Max", "Min"]))
    builder.add(op, [name, builder.constant(floats(*broadcast))], shape)


def add_earlier(draw, builder, name, shape):
    same = [other for other, other_shape in builder.values if other_shape == shape]
    builder.add(draw(st.sampled_from(["Add", "Mul", "Sub"])), [name, draw(st.sampled_from(same))], shape)


def add_joined(draw, builder, name, shape):
    axis = draw(st.integers(0, len(shape) - 1))
    joined = [2 * size if place == axis else size for place, size in enumerate(shape)]
    builder.add("Concat", [name, name], joined, axis=axis + 1)


def add_linear(draw, builder, name, shape):
    width = draw(st.integers(1, 6))
    inputs = [name, builder.constant(floats(shape[-1], width))]
    if len(shape) == 1 and draw(st.booleans()):
        builder.add("Gemm", [*inputs, builder.constant(floats(width, seed=2))], [width], alpha=0.5)
        return
    builder.add("MatMul", inputs, [*shape[:-1], width])
    if draw(st.booleans()):
        builder.add("Add", [builder.values[-1][0], builder.constant(floats(width))], builder.values[-1][1])


def add_image(draw, builder, name, shape):
    channels, height, width = shape
    kernel, stride, pad = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(0, 1))
    if min(height, width) + 2 * pad < kernel or pad >= kernel:
        kernel, stride, pad = 1, 1, 0
    sides = [(size + 2 * pad - kernel) // stride + 1 for size in (height, width)]
    window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
    op = draw(
        st.sampled_from(
            ["Conv", "Depthwise", "MaxPool", "AveragePool", "BatchNormalization", "Resize", "Pad"]
        )
    )
    if op == "Conv":
        outputs = draw(st.integers(1, 4))
        inputs = [name, builder.constant(floats(outputs, channels, kernel, kernel))]
        if draw(st.booleans()):
            inputs.append(builder.constant(floats(outputs)))
        builder.add("Conv", inputs, [outputs, *sides], **window)
    elif op == "Depthwise":
        weight = builder.constant(floats(channels, 1, kernel, kernel))
        builder.add("Conv", [name, weight], [channels, *sides], group=channels, **window)
    elif op in ("MaxPool", "AveragePool"):
        builder.add(op, [name], [channels, *sides], **window)
    elif op == "BatchNormalization":
        statistics = [
            floats(channels),
            floats(channels, seed=1),
            floats(channels, seed=2),
            np.abs(floats(channels)) + 1,
        ]
        builder.add(op, [name, *(builder.constant(array) for array in statistics)], shape)
    elif op == "Resize":
        scales = builder.constant(np.array([1, 1, 2, 2], np.float32))
        mode = draw(st.sampled_from(["nearest", "linear", "cubic"]))
        builder.add("Resize", [name, "", scales], [channels, 2 * height, 2 * width], mode=mode)
    else:
        pads = builder.constant(np.array([0, 0, 1, 0, 0, 0, 0, 1]))
        mode = draw(
            st.sampled_from(["constant", "edge", "reflect"] if min(height, width) > 1 else ["constant"])
        )
        builder.add("Pad", [name, pads], [channels, height + 1, width + 1], mode=mode)


def add_arrangement(draw, builder, name, shape):
    op = draw(st.sampled_from(["Transpose", "Reshape", "Flatten", "Slice", "Reduce", "Squeeze"]))
    if op == "Transpose":
        order = draw(st.permutations(range(len(shape))))
        builder.add(op, [name], [shape[place] for place in order], perm=[0, *(place + 1 for place in order)])
    elif op in ("Reshape", "Flatten"):
        size = int(np.prod(shape))
        inputs = [name] if op == "Flatten" else [name, builder.constant(np.array([-1, size]))]
        builder.add(op, inputs, [size])
    elif op == "Slice":
        axis = draw(st.integers(0, len(shape) - 1))
        step = draw(st.sampled_from([1, 2, -1]))
        span = slice(0, shape[axis], step) if step > 0 else slice(shape[axis] - 1, None, step)
        ends = [shape[axis] if step > 0 else -(2**40)]
        numbers = [[span.start], ends, [axis + 1], [step]]
        left = [len(range(shape[axis])[span]) if place == axis else size for place, size in enumerate(shape)]
        builder.add(op, [name, *(builder.constant(np.array(number)) for number in numbers)], left)
    elif op == "Reduce":
        axis = draw(st.integers(0, len(shape) - 1))
        kept = [1 if place == axis else size for place, size in enumerate(shape)]
        inputs = [name, builder.constant(np.array([axis + 1]))]
        builder.add(draw(st.sampled_from(REDUCTIONS[:3])), inputs, kept, keepdims=1)
    else:
        axes = builder.constant(np.array([1]))
        builder.add("Unsqueeze", [name, axes], [1, *shape])
        builder.add("Squeeze", [builder.values[-1][0], axes], shape)


@st.composite
def models(draw):
    shape = draw(st.sampled_from([(4,), (3, 4), (2, 6, 5)]))
    builder = Builder(shape)
    for _ in range(draw(st.integers(1, 8))):
        name, shape = draw(st.sampled_from(builder.values[-2:]))
        steps = [add_unary, add_constant, add_earlier, add_joined, add_linear, add_arrangement]
        if len(shape) == 3:
            steps += [add_image] * 3
        if int(np.prod(shape)) < 2000:
            draw(st.sampled_from(steps))(draw, builder, name, shape)
    if not builder.nodes:
        builder.add("Relu", ["x"], builder.values[0][1])
    return builder.model()


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(models())
def test_a_random_graph_is_imported_as_the_reference_computes_it_and_written_back(model):
    data = model.SerializeToString()
    imported = import_model(data)
    found = verify_imported(imported, seed=1)
    # A sum that cancels to almost nothing has no digits left to compare.
    assert found.max_rel_diff < 1e-4 or found.max_abs_diff < 1e-5
    names = {layer["name"] for layer in inspect_model(data)["layers"]}
    state = imported.module.state_dict()
    assert all(any(key == name or key.startswith(f"{name}.") for key in state) for name in names)
    again = import_model(export_model(imported, imported.module))
    assert verify_imported(again, seed=1).max_abs_diff <= max(2 * found.max_abs_diff, 1e-5)
