"""Torch modules of planned layers, and the small functions that join them to ONNX's conventions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from simulator.intake import IntakeError
from simulator.onnx.layers import Layer
from simulator.onnx.layouts import FloatArray
from simulator.onnx.tensors import Array


class Embedding(nn.Embedding):
    """Rows that are picked by their indices; a negative one counts from the end, as ONNX has it."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the base class calls it so
        """Return the rows `[..., width]` of indices `[...]`.

        Raises:
            IntakeError: there is no row of an index.
        """
        rows = self.num_embeddings
        try:
            return super().forward(torch.where(input < 0, input + rows, input))
        except IndexError as error:
            low, high = int(input.min()), int(input.max())
            message = (
                f"the inputs have indices from {low} to {high}, and an embedding of the model has {rows} "
                "rows: the dataset was made with another vocabulary than the model"
            )
            raise IntakeError("index_out_of_range", message) from error


def build_module(layer: Layer, constants: Mapping[str, Array]) -> nn.Module:
    """Return the torch module that a layer is, with the file's numbers in it.

    Args:
        layer: what the plan says; not a loose parameter.
        constants: the graph's constants by name.
    """
    # Built without memory first: initial weights would take time, and random numbers, for nothing. Not by
    # `to_empty`, whose first call imports a symbolic algebra system.
    # An embedding is given its weight, as drawing one on the meta device imports torch's compiler.
    with torch.device("meta"):
        module: nn.Module
        if layer.module == "Embedding":
            module = Embedding(**layer.arguments, _weight=torch.empty(layer.weight_shape))
        else:
            module = getattr(nn, layer.module)(**layer.arguments)
    state = {
        key: torch.from_numpy(np.array(array, order="C"))
        for key, array in parameters_of(layer, constants).items()
    }
    if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - torch names the base class so
        state["num_batches_tracked"] = torch.tensor(0)
    module.load_state_dict(state, assign=True)
    return module.eval()


def parameters_of(layer: Layer, constants: Mapping[str, Array]) -> dict[str, FloatArray]:
    """Return the numbers of a layer's parameters, by their names below the layer."""
    result: dict[str, FloatArray] = {}
    for port in layer.ports:
        if port.keys[0] not in result:
            array = constants[port.value].astype(np.float32, copy=False)
            result.update(zip(port.keys, port.layout.split(array), strict=True))
    return result


def recurrent_state(layer: str, initial_h: Tensor | None, initial_c: Tensor | None, x: Tensor) -> object:
    """Return the initial state as torch's modules take it; a state of one sample is spread over the batch."""
    if initial_h is None and initial_c is None:
        return None
    given = initial_h if initial_h is not None else initial_c
    zeros = torch.zeros_like(given) if given is not None else None
    states = [(zeros if state is None else state) for state in (initial_h, initial_c)]
    spread = [state.expand(-1, x.shape[1], -1).contiguous() for state in states if state is not None]
    return tuple(spread) if layer == "LSTM" else spread[0]


def reverse_time(x: Tensor) -> Tensor:
    """Return a sequence `[time, ...]` backwards."""
    return x.flip(0)


def recurrent_output(y: Tensor, directions: int) -> Tensor:
    """Return torch's `[time, batch, directions * hidden]` as ONNX's `[time, directions, batch, hidden]`."""
    time, batch, _ = y.shape
    return y.reshape(time, batch, directions, -1).transpose(1, 2)
