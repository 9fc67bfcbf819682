"""Bytes to a checked model: everything is refused here that is no ONNX, hostile, or not supported.

The order matters: what costs memory or time comes after the check that bounds it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import onnx
from onnx import checker, inliner

from simulator.intake import Fault, IntakeError
from simulator.onnx import limits, precision, tensors
from simulator.onnx.archive import model_bytes, parse
from simulator.onnx.selection import ONNX_DOMAINS, select_outputs
from simulator.onnx.supported import CONTROL_FLOW, SUPPORTED
from simulator.onnx.ways_out import ANOTHER_DOMAIN, DOMAINS, TOLD_AT_ONCE, WAYS_OUT

_SMALL_TENSOR = 1024  # elements that shape inference may see: shapes, axes, scales
_SHAPE_HINT = (
    "declare it, a name for a size that is open: model.graph.input[0].CopyFrom("
    "onnx.helper.make_tensor_value_info({name!r}, onnx.TensorProto.FLOAT, ['batch', 8]))"
)
_EXTERNAL_HINT = "export with torch.onnx.export(..., external_data=False), or upload a zip of both files"


@dataclass(frozen=True)
class CheckedModel:
    """A model that passed every check that can be made before its graph is understood.

    Attributes:
        sha256: of the bytes as handed in.
        size_bytes: of the bytes as handed in.
        content: the bytes of the `.onnx` file with all its weights in it.
        opset: version of the ai.onnx operators.
        producer: name and version of the program that wrote the file.
        skeleton: the model with functions inlined and without its large tensors (they are inputs there).
        initialisers: all initialisers by name, floating-point ones as float32.
        half_precision: whether the file computes in float16 or bfloat16 (it is simulated in float32).
        double_precision: whether the file computes in float64 (likewise).
        input_dtypes: element type of each graph input as the file has it.
        notes: what the user should know, by code.
    """

    sha256: str
    size_bytes: int
    content: bytes
    opset: int
    producer: str
    skeleton: onnx.ModelProto
    initialisers: dict[str, tensors.Array]
    half_precision: bool
    double_precision: bool
    input_dtypes: dict[str, str]
    notes: dict[str, str]


def read_model(data: bytes, outputs: Sequence[str] | None = None) -> CheckedModel:
    """Read a model and refuse it unless it is complete, well formed, bounded and supported.

    Args:
        data: bytes of an `.onnx` file that holds its own weights, or of a zip of one and its external data.
        outputs: names of those that are wanted; what does not lead to them is left out. None: see
            `select_outputs`.

    Raises:
        IntakeError: with one of the codes of `simulator.onnx.limits` and every fault that was found.
    """
    content = model_bytes(data)
    model = parse(content)
    notes = select_outputs(model, outputs)
    _raise_first([_external_data(model), _unsupported(model)])
    _raise_first([_malformed(model), _nan_weights(model)])
    open_sizes(model)
    input_dtypes = _input_dtypes(model)
    initialisers = _detach_initialisers(model)
    check_expanded_size(model)
    _run_checker(model)
    model = inline_functions(model)
    if any(node.domain not in ONNX_DOMAINS for node in model.graph.node):  # a function without a body
        _raise_first([_unsupported(model)])
    half_precision, double_precision = precision.uses_half(model), precision.uses_double(model)
    precision.widen(model)
    opset = opset_of(model)
    return CheckedModel(
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        content=content,
        opset=opset,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        skeleton=model,
        initialisers=initialisers,
        half_precision=half_precision,
        double_precision=double_precision,
        input_dtypes=input_dtypes,
        notes=notes,
    )


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the ai.onnx operators that a model imports, 0 if it imports none."""
    return max((entry.version for entry in model.opset_import if entry.domain in ONNX_DOMAINS), default=0)


def open_sizes(model: onnx.ModelProto) -> None:
    """Make open the sizes that converters write as 0 or -1."""
    for values, smallest in ((model.graph.input, 1), (model.graph.output, 1), (model.graph.value_info, 0)):
        for value in values:
            for dim in value.type.tensor_type.shape.dim:
                if dim.HasField("dim_value") and dim.dim_value < smallest:
                    dim.ClearField("dim_value")


def inline_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace calls of the model's own functions by their nodes."""
    return inliner.inline_local_functions(model) if model.functions else model


def check_expanded_size(model: onnx.ModelProto) -> None:
    """Count the nodes that a model has once its functions are written out, without writing them out.

    Raises:
        IntakeError: `model_too_complex` if there are too many or the functions call themselves.
    """
    if _count_expanded(model) > limits.NODES:
        message = f"the graph has more than {limits.NODES} nodes once its functions are written out"
        raise IntakeError(limits.TOO_COMPLEX, message)


def _detach_initialisers(model: onnx.ModelProto) -> dict[str, tensors.Array]:
    """Take all initialisers out as arrays; of the large ones only an input of their type stays behind."""
    arrays = {tensor.name: tensors.to_array(tensor) for tensor in model.graph.initializer}
    declared = {value.name for value in model.graph.input}
    small = []
    for tensor in model.graph.initializer:
        if arrays[tensor.name].size <= _SMALL_TENSOR:
            small.append(onnx.TensorProto.FromString(tensor.SerializeToString()))
        elif tensor.name not in declared:
            kind = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
            model.graph.input.append(onnx.ValueInfoProto(name=tensor.name, type=kind))
    model.graph.ClearField("initializer")
    model.graph.initializer.extend(small)
    return arrays


def _raise_first(found: Iterable[tuple[str, str, list[Fault]]]) -> None:
    """Raise all the faults there are under the code of the first kind among them."""
    kinds = [kind for kind in found if kind[2]]
    if kinds:
        code, message, _ = kinds[0]
        raise IntakeError(code, message, [fault for kind in kinds for fault in kind[2]])


def _external_data(model: onnx.ModelProto) -> tuple[str, str, list[Fault]]:
    code = limits.EXTERNAL_DATA
    faults = [
        Fault(code, f"{where} keeps its data in another file", _EXTERNAL_HINT)
        for where, tensor in tensors.tensors_of_model(model)
        if tensors.is_external(tensor)
    ]
    message = f"the model keeps its weights in another file, which was not uploaded: {_EXTERNAL_HINT}"
    return code, message, faults


def _unsupported(model: onnx.ModelProto) -> tuple[str, str, list[Fault]]:
    code = limits.UNSUPPORTED_OPERATOR
    functions = {(function.domain, function.name) for function in model.functions}
    faults = []
    outer = chain(model.graph.node, chain.from_iterable(function.node for function in model.functions))
    for number, node in enumerate(outer):
        if (node.domain, node.op_type) in functions:
            continue
        label = f"node {node.name!r}" if node.name else f"node number {number}"
        if node.domain not in ONNX_DOMAINS:
            domain, hint = DOMAINS.get(node.domain, (f"the custom domain {node.domain!r}", ANOTHER_DOMAIN))
            what = f"{label} uses the operator {node.op_type!r} of {domain}"
            faults.append(Fault(code, what, WAYS_OUT.get(node.op_type, hint)))
        elif node.op_type == "If":
            continue  # it is looked at once it is known which way it goes
        elif node.op_type in CONTROL_FLOW or any(True for _ in tensors.graphs_of_node(node)):
            what = f"{label} is control flow ({node.op_type})"
            faults.append(Fault(code, what, "export the model with control flow unrolled or traced"))
        elif node.op_type not in SUPPORTED:
            way_out = WAYS_OUT.get(node.op_type)
            faults.append(Fault(code, f"{label} uses the operator {node.op_type!r}", way_out))
    kinds = sorted({fault.message.split("operator ")[-1] for fault in faults if "operator " in fault.message})
    names = ", ".join(kinds[:10]) or "control flow"
    ways_out = dict.fromkeys(fault.hint for fault in faults if fault.hint in TOLD_AT_ONCE)
    message = "; ".join([f"{len(faults)} nodes use what is not supported: {names}", *filter(None, ways_out)])
    return code, message, faults[: limits.NODES]


def _malformed(model: onnx.ModelProto) -> tuple[str, str, list[Fault]]:
    code = limits.INVALID
    faults = []
    opset = opset_of(model)
    if not limits.OLDEST_OPSET <= opset <= limits.NEWEST_OPSET:
        span = f"{limits.OLDEST_OPSET} to {limits.NEWEST_OPSET}"
        what = f"the model uses opset {opset}; {span} are supported"
        faults.append(Fault(code, what, "export with opset_version=20"))
    if model.graph.sparse_initializer:
        faults.append(Fault(code, "sparse initialisers are not supported", "store the weights densely"))
    for where, tensor in tensors.tensors_of_model(model):
        fault = tensors.fault_of(tensor)
        if fault:
            faults.append(Fault(code, f"{where} {fault}"))
    for value in model.graph.input:
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or kind.elem_type not in tensors.OF_INPUTS:
            faults.append(Fault(code, f"input {value.name!r} is no tensor of numbers"))
        elif not kind.HasField("shape"):
            what = f"input {value.name!r} has no shape, so that the sizes of the network cannot be known"
            faults.append(Fault(code, what, _SHAPE_HINT.format(name=value.name)))
    if not model.graph.output:
        what = "the graph has no outputs"
        faults.append(Fault(code, what, "name what the network computes in graph.output"))
    names = [tensor.name for tensor in model.graph.initializer]
    faults += [
        Fault(code, f"there are {names.count(name)} initialisers named {name!r}")
        for name in sorted(
            {name for name, next_ in zip(sorted(names), sorted(names)[1:], strict=False) if name == next_}
        )
    ]
    parameters = sum(
        int(np.prod(tensor.dims))
        for tensor in model.graph.initializer
        if tensor.data_type in tensors.FLOAT_TYPES
    )
    message = faults[0].message if faults else ""
    if not faults and parameters > limits.PARAMETERS:
        code = limits.TOO_COMPLEX
        message = f"the model has {parameters} parameters; at most {limits.PARAMETERS} are accepted"
        faults.append(Fault(code, message))
    return code, f"the model is not valid: {message}" if code == limits.INVALID else message, faults


def _nan_weights(model: onnx.ModelProto) -> tuple[str, str, list[Fault]]:
    code = limits.NON_FINITE_WEIGHTS
    faults = []
    for where, tensor in tensors.tensors_of_model(model):
        if tensor.data_type in tensors.FLOAT_TYPES and not tensors.fault_of(tensor):
            count = int(np.isnan(tensors.to_array(tensor)).sum())
            if count:
                faults.append(Fault(code, f"{where} holds {count} numbers that are NaN"))
    return code, "some weights are NaN", faults


def _input_dtypes(model: onnx.ModelProto) -> dict[str, str]:
    return {value.name: tensors.DTYPES[value.type.tensor_type.elem_type] for value in model.graph.input}


def _run_checker(model: onnx.ModelProto) -> None:
    # The checker wants a shape of every output; here shape inference finds it.
    without_shape = [value for value in model.graph.output if not value.type.tensor_type.HasField("shape")]
    for value in without_shape:
        value.type.tensor_type.shape.SetInParent()
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError, RuntimeError) as error:
        words = re.sub(r"\s+", " ", str(error))[:500]
        raise IntakeError(limits.INVALID, f"the model is not valid: {words}") from None
    for value in without_shape:
        value.type.tensor_type.ClearField("shape")


def _count_expanded(model: onnx.ModelProto) -> int:
    """Count the nodes that a model has without functions; stops growing just above the limit."""
    bodies = {(function.domain, function.name): function.node for function in model.functions}
    counts: dict[tuple[str, str], int] = {}
    open_calls: set[tuple[str, str]] = set()

    def count(nodes: Iterable[onnx.NodeProto]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            total += count_function(key) if key in bodies else 1
            total += sum(count(inner.node) for inner in tensors.graphs_of_node(node))
            if total > limits.NODES:
                return limits.NODES + 1
        return total

    def count_function(key: tuple[str, str]) -> int:
        if key in counts:
            return counts[key]
        if key in open_calls or len(open_calls) > limits.NESTING:
            message = f"the model's function {key[1]!r} calls itself, or functions nest too deep"
            raise IntakeError(limits.TOO_COMPLEX, message)
        open_calls.add(key)
        counts[key] = count(bodies[key])
        open_calls.discard(key)
        return counts[key]

    return count(model.graph.node)
