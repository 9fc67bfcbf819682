"""torch modules as ONNX, with the options that suit the service. Only this module imports torch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from driftline.errors import InvalidInput
from driftline.extras import need

_NEEDED = "models of torch"


def to_onnx(module: Any, example_input: Any) -> bytes:
    """Return a module as the bytes of an ONNX file.

    The module is exported in evaluation mode, with any batch size, its weights inside the file, and batch
    normalisation kept as layers, so that HWA fine-tuning can train it. Afterwards the module is in the mode
    that it was in.

    Args:
        module: a `torch.nn.Module`.
        example_input: a tensor or array such as the module takes, the first axis being the batch; several
            inputs as a tuple.

    Raises:
        InvalidInput: there is no example input, or torch cannot export the module.
        MissingExtra: torch or onnxscript is not installed.
    """
    torch = need("torch", _NEEDED, "worker")
    if not isinstance(module, torch.nn.Module):
        raise InvalidInput(f"a {type(module).__name__} is not a torch module")
    if example_input is None:
        raise InvalidInput(
            f"{type(module).__name__} needs an example input: a tensor such as it takes, for shape and type"
        )
    inputs = _inputs(torch, module, example_input)
    with _evaluating(module), torch.no_grad(), _quiet():
        _try_out(module, inputs)
        failures = []
        for export in (_by_tracing_the_graph, _by_running_it):
            try:
                return export(torch, module, inputs)
            except Exception as error:  # noqa: BLE001 - exporters raise anything
                failures.append(error)
    first = _first_line(failures[0])
    raise InvalidInput(f"torch cannot export {type(module).__name__} to ONNX: {first}") from failures[0]


def _by_tracing_the_graph(torch: Any, module: Any, inputs: tuple[Any, ...]) -> bytes:
    """Export with torch's present exporter; `optimize=False` keeps batch normalisation."""
    need("onnxscript", _NEEDED, "dev")
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        module,
        inputs,
        dynamo=True,
        dynamic_shapes=tuple({0: batch} for _ in inputs),
        optimize=False,
        external_data=False,
        verbose=False,
    )
    buffer = io.BytesIO()
    program.save(buffer)
    return buffer.getvalue()


def _by_running_it(torch: Any, module: Any, inputs: tuple[Any, ...]) -> bytes:
    """Export with torch's earlier exporter, which takes some modules that the present one does not."""
    names = [f"x{number or ''}" for number in range(len(inputs))]
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        inputs,
        buffer,
        dynamo=False,
        input_names=names,
        output_names=["y"],
        dynamic_axes={name: {0: "batch"} for name in [*names, "y"]},
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
    )
    return buffer.getvalue()


def _inputs(torch: Any, module: Any, example_input: Any) -> tuple[Any, ...]:
    """Return the example as tensors where the module is, in a batch of two: one would be taken for fixed."""
    given = example_input if isinstance(example_input, tuple) else (example_input,)
    parameter = next(module.parameters(), None)
    device = "cpu" if parameter is None else parameter.device
    tensors = []
    for one in given:
        tensor = torch.as_tensor(one).detach().to(device)
        if tensor.ndim == 0 or tensor.shape[0] == 0:
            raise InvalidInput("the example input has no samples: its first axis is the batch")
        if tensor.dtype == torch.float64:
            tensor = tensor.float()
        tensors.append(torch.cat([tensor[:1], tensor[:1]]) if tensor.shape[0] == 1 else tensor[:2])
    return tuple(tensors)


def _try_out(module: Any, inputs: tuple[Any, ...]) -> None:
    """Run the module once, since its own error is plainer than an exporter's."""
    try:
        module(*inputs)
    except Exception as error:
        shapes = ", ".join(f"{str(one.dtype).removeprefix('torch.')} {tuple(one.shape)}" for one in inputs)
        raise InvalidInput(
            f"{type(module).__name__} does not take the example input ({shapes}): {_first_line(error)}"
        ) from error


@contextlib.contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Put a module into evaluation mode, and each of its parts back afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' notes to their own developers away."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
