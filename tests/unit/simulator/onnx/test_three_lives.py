"""Every operator in its three lives: computed beforehand from constants, run, and differentiated.

The cases are ONNX's own, at every version of the operator that takes them as they are.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, checker, defs, helper, numpy_helper, shape_inference

from simulator.intake import IntakeError
from simulator.onnx import import_model, limits
from simulator.onnx.supported import RECURRENT, SEQUENCES, SUPPORTED

CASES_PER_OPERATOR = 4
FLOATS = (np.float32, np.float64)
READ = (*FLOATS, np.int64, np.int32, np.uint8, np.int8, bool)
# Recurrent layers have tests of their own in test_reading, sequences in the conformance test.
OPERATORS = SUPPORTED - SEQUENCES - RECURRENT - {"Constant", "Upsample"}
LEFT_OUT = (
    "training",
    "onehot_negative",
    "onehot_out_of_range",
)  # the last two are not valid before opset 11
ALWAYS_FOLDED = ("Shape", "Size")  # as every shape is known here
# What has no derivative, or one that is zero wherever it is defined.
FLAT = (
    *(
        "ArgMax",
        "ArgMin",
        "And",
        "BitwiseAnd",
        "BitwiseNot",
        "BitwiseOr",
        "BitwiseXor",
        "Ceil",
        "ConstantOfShape",
    ),
    *(
        "Dropout",
        "Equal",
        "EyeLike",
        "Floor",
        "Greater",
        "GreaterOrEqual",
        "Hardmax",
        "IsInf",
        "IsNaN",
        "Less",
    ),
    *(
        "LessOrEqual",
        "Mod",
        "NonZero",
        "Not",
        "OneHot",
        "Or",
        "QuantizeLinear",
        "Range",
        "Round",
        "Shape",
        "Sign",
    ),
    *("Size", "Xor"),
)


@cache
def cases():
    """Return the smallest cases of each operator: `{operator: [(name, model, inputs)]}`."""
    found = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        for case in load_model_tests(kind="node"):
            nodes = case.model.graph.node
            if len(nodes) != 1 or nodes[0].domain or nodes[0].op_type not in OPERATORS:
                continue
            if any(words in case.name for words in LEFT_OUT):
                continue
            inputs, outputs = (
                [numpy_helper.to_array(v) if isinstance(v, TensorProto) else v for v in values]
                for values in case.data_sets[0]
            )
            arrays = (*inputs, *outputs)
            if not all(isinstance(value, np.ndarray | np.generic) for value in arrays):
                continue
            inputs = [np.asarray(value) for value in inputs]
            arrays = [np.asarray(value) for value in arrays]
            if all(array.dtype in READ for array in arrays):
                found[nodes[0].op_type].append(
                    (case.name, case.model, inputs, [np.asarray(o) for o in outputs])
                )
    return found


def versions(name):
    """Return the first opset from the oldest one on of each version of an operator."""
    newest = min(limits.NEWEST_OPSET, defs.onnx_opset_version())
    known = {}
    for opset in range(limits.OLDEST_OPSET, newest + 1):
        try:
            schema = defs.get_schema(name, opset)
        except defs.SchemaError:
            continue
        if not schema.deprecated:
            known.setdefault(schema.since_version, opset)
    return sorted(known.values())


def at_opset(model, opset):
    """Return a model at another opset, None if its node is not valid there."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.ir_version = 8
    for entry in changed.opset_import:
        entry.version = opset
    try:
        checker.check_model(changed)
        shape_inference.infer_shapes(changed, strict_mode=True)
    except (checker.ValidationError, shape_inference.InferenceError, RuntimeError):
        return None
    return changed


def expected(model, inputs):
    """Return what onnxruntime computes, None if it cannot."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        named = dict(zip([value.name for value in model.graph.input], inputs, strict=True))
        return session.run(None, named)
    except Exception:  # noqa: BLE001 - it lacks versions and types
        return None


def close(found, wanted):
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


def constants_only(model, inputs):
    """Return a model that adds an input to what the node computes of constants."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    for value, array in zip(graph.input, inputs, strict=True):
        graph.initializer.append(numpy_helper.from_array(array, value.name))
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("batch", TensorProto.FLOAT, ["n"]))
    names = [value.name for value in graph.output]
    del graph.output[:]
    for name in names:
        graph.node.append(helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT))
        graph.node.append(helper.make_node("Reshape", [f"{name}_float", "flat"], [f"{name}_flat"]))
        graph.node.append(unsqueeze(changed, f"{name}_flat", f"{name}_row", 0))
        graph.node.append(unsqueeze(changed, "batch", f"{name}_column", 1))
        graph.node.append(helper.make_node("Add", [f"{name}_row", f"{name}_column"], [f"{name}_sum"]))
        graph.output.append(helper.make_tensor_value_info(f"{name}_sum", TensorProto.FLOAT, ["n", None]))
    for name, value in (("flat", [-1]), ("axis0", [0]), ("axis1", [1])):
        graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    return changed


def unsqueeze(model, name, result, axis):
    if opset_of(model) < 13:
        return helper.make_node("Unsqueeze", [name], [result], axes=[axis])
    return helper.make_node("Unsqueeze", [name, f"axis{axis}"], [result])


def opset_of(model):
    return model.opset_import[0].version


def run(module, inputs):
    tensors = [
        torch.from_numpy(np.array(array.astype(np.float32) if array.dtype in FLOATS else array))
        for array in inputs
    ]
    results = module(*tensors)
    return results if isinstance(results, tuple) else (results,)


def imported_whole(model, *, any_batch=False):
    """Return the import with all outputs, those of whole numbers, too."""
    names = [value.name for value in model.graph.output]
    return import_model(model.SerializeToString(), any_batch=any_batch, outputs=names)


def live_folded(model, inputs, wanted):
    module = imported_whole(constants_only(model, inputs), any_batch=True).module
    with torch.no_grad():
        for found, array in zip(run(module, [np.zeros(2, np.float32)]), wanted, strict=True):
            close(found[1].numpy(), array.astype(np.float32).reshape(-1))


def live_run(model, inputs, wanted):
    module = imported_whole(model).module
    with torch.no_grad():
        for found, array in zip(run(module, inputs), wanted, strict=True):
            close(found.numpy(), array)


def live_differentiated(model, inputs, wanted):
    """Let a gradient flow from every floating-point output to every floating-point input and parameter."""
    for constants in (False, True):
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        given = inputs
        if constants:
            for value, array in list(zip(changed.graph.input, inputs, strict=True))[1:]:
                changed.graph.initializer.append(numpy_helper.from_array(array, value.name))
            del changed.graph.input[1:]
            given = inputs[:1]
        module = imported_whole(changed).module
        leaves = [
            torch.from_numpy(array.astype(np.float32)).requires_grad_()
            if array.dtype in FLOATS
            else torch.from_numpy(np.array(array))
            for array in given
        ]
        results = module(*leaves)
        outputs = [
            found
            for found in (results if isinstance(results, tuple) else (results,))
            if found.is_floating_point()
        ]
        leaves = [leaf for leaf in leaves if leaf.requires_grad and leaf.numel()]
        leaves += [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not outputs or not leaves:
            continue
        if model.graph.node[0].op_type in FLAT:
            continue
        total = sum(found.sum() for found in outputs)
        assert total.requires_grad, "no gradient flows"
        gradients = torch.autograd.grad(total, leaves, allow_unused=True)
        assert any(gradient is not None for gradient in gradients)


LIVES = {"folded": live_folded, "run": live_run, "differentiated": live_differentiated}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "life"),
    [
        (name, life)
        for name in sorted(OPERATORS)
        for life in LIVES
        if life == "folded" or name not in ALWAYS_FOLDED
    ],
)
def test_an_operator_lives(name, life):
    tried = set()
    for opset in versions(name):
        count = 0
        for case, model, inputs, outputs in cases()[name]:
            changed = at_opset(model, opset)
            if changed is None:
                continue
            given = [
                np.where(np.isnan(a), 0, a).astype(a.dtype) if a.dtype in FLOATS else a for a in inputs
            ]  # no constant may be NaN
            wanted = expected(changed, given)
            if wanted is None and opset_of(model) == opset:
                given, wanted = inputs, outputs
            if wanted is None or count == CASES_PER_OPERATOR:
                continue
            try:
                LIVES[life](changed, given, wanted)
            except IntakeError as error:
                if error.code != limits.UNSUPPORTED_OPERATOR:
                    raise AssertionError(f"{case} at opset {opset}: {error}") from error
                continue
            except Exception as error:
                raise AssertionError(f"{case} at opset {opset}: {error!r}") from error
            count += 1
            tried.add(opset)
    assert tried
