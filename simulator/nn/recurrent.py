"""Analog recurrent layers: the input and the hidden matrix of every layer and direction are tiles.

Gates, activations and states are digital. All time steps pass through the input matrix together; the hidden
matrix is used step by step, each time with noise of its own.

Legend of shapes: T time steps, B batch, I inputs, H hidden units, G gates.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from simulator.nn.composite import AnalogComposite, with_state
from simulator.nn.linear import AnalogLinear

State = tuple[Tensor, ...]


class AnalogCell(nn.Module):
    """One layer in one direction.

    Attributes:
        input: the matrix of the inputs, `[G H, I]`.
        hidden: the matrix of the hidden state, `[G H, H]`.
    """

    input: AnalogLinear
    hidden: AnalogLinear

    def __init__(self, input_matrix: AnalogLinear, hidden_matrix: AnalogLinear) -> None:
        super().__init__()
        self.input = input_matrix
        self.hidden = hidden_matrix


class _AnalogRecurrent(AnalogComposite):
    """What the kinds share; see `torch.nn.LSTM` for options and shapes."""

    digital_type: type[nn.RNNBase]
    states = 1  # of a cell: the hidden state alone, or the cell state too

    def _build(self, digital: nn.Module) -> None:
        if not isinstance(digital, nn.RNNBase):
            raise TypeError(f"expected a plain recurrent layer, got {type(digital).__name__}")
        self.options: dict[str, Any] = {
            name: getattr(digital, name)
            for name in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout")
        }
        self.options["bidirectional"] = digital.bidirectional
        if isinstance(digital, nn.RNN):
            self.options["nonlinearity"] = digital.nonlinearity
        self.batch_first = digital.batch_first
        self.cells = nn.ModuleDict()
        for suffix in self._suffixes():
            parts = [
                self._matrix(
                    getattr(digital, f"weight_{part}_{suffix}"),
                    getattr(digital, f"bias_{part}_{suffix}") if digital.bias else None,
                )
                for part in ("ih", "hh")
            ]
            self.cells[suffix] = AnalogCell(*parts)

    def _suffixes(self) -> list[str]:
        """Torch's names of the layers and directions, in the order of its states."""
        directions = ("", "_reverse") if self.options["bidirectional"] else ("",)
        return [f"l{layer}{way}" for layer in range(self.options["num_layers"]) for way in directions]

    def forward(self, x: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """Return all outputs and the last state, shaped as torch's layer does."""
        if isinstance(x, PackedSequence):
            raise TypeError(f"{type(self).__name__} takes padded sequences: see torch's pad_packed_sequence")
        name = type(self).__name__
        if x.dim() not in (2, 3) or x.shape[-1] != self.options["input_size"]:
            size = self.options["input_size"]
            raise ValueError(f"{name}: expected [time, batch, {size}] or [time, {size}], got {list(x.shape)}")
        batched = x.dim() == 3
        x_TBI = x.unsqueeze(1) if not batched else x.transpose(0, 1) if self.batch_first else x
        given = None if hx is None else (hx if isinstance(hx, tuple) else (hx,))
        if given is not None and not batched:
            given = tuple(state.unsqueeze(1) for state in given)
        suffixes = self._suffixes()
        if given is None:
            shape = (len(suffixes), x_TBI.shape[1], self.options["hidden_size"])
            given = tuple(x_TBI.new_zeros(shape) for _ in range(self.states))
        directions = 2 if self.options["bidirectional"] else 1
        last: list[State] = []
        for layer in range(self.options["num_layers"]):
            outputs = []
            for way in range(directions):
                index = layer * directions + way
                sequence = x_TBI.flip(0) if way else x_TBI
                y_TBH, state = self._run(
                    self.cells[suffixes[index]], sequence, tuple(state[index] for state in given)
                )
                outputs.append(y_TBH.flip(0) if way else y_TBH)
                last.append(state)
            x_TBI = torch.cat(outputs, dim=-1) if directions == 2 else outputs[0]
            if layer < self.options["num_layers"] - 1 and self.options["dropout"] > 0:
                x_TBI = functional.dropout(x_TBI, self.options["dropout"], self.training)
        final = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
        if not batched:
            x_TBI, final = x_TBI.squeeze(1), tuple(state.squeeze(1) for state in final)
        elif self.batch_first:
            x_TBI = x_TBI.transpose(0, 1)
        return x_TBI, final if self.states > 1 else final[0]

    def _run(self, cell: Any, x_TBI: Tensor, state: State) -> tuple[Tensor, State]:
        """Return one direction's outputs in the order of its steps, and its last state."""
        outputs = []
        for from_input in cell.input(x_TBI).unbind(0):
            state = self._step(from_input, cell.hidden(state[0]), state)
            outputs.append(state[0])
        return torch.stack(outputs), state

    @abstractmethod
    def _step(self, from_input: Tensor, from_hidden: Tensor, state: State) -> State:
        """Return the next state from the two products, biases included, `[B, G H]`."""

    def probe_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shape of two sequences of three steps."""
        size = self.options["input_size"]
        return ((2, 3, size) if self.batch_first else (3, 2, size),)

    def to_digital(self) -> nn.Module:
        """Return a plain torch layer with the effective logical weights."""
        state: dict[str, Tensor] = {}
        for suffix in self._suffixes():
            cell = cast("AnalogCell", self.cells[suffix])
            for part, matrix in (("ih", cell.input), ("hh", cell.hidden)):
                weight, bias = matrix.effective_weights()
                state[f"weight_{part}_{suffix}"] = weight
                if bias is not None:
                    state[f"bias_{part}_{suffix}"] = bias
        digital = with_state(self.digital_type, self.options, state)
        _, first = next(self.matrices())
        digital.requires_grad_(first.weight.requires_grad)
        return digital.train(self.training)

    def extra_repr(self) -> str:
        """Name the options."""
        return ", ".join(f"{name}={value}" for name, value in self.options.items())


class AnalogRNN(_AnalogRecurrent):
    """`torch.nn.RNN` on analog tiles."""

    digital_type = nn.RNN

    def _step(self, from_input: Tensor, from_hidden: Tensor, state: State) -> State:
        del state
        total = from_input + from_hidden
        return (torch.tanh(total) if self.options["nonlinearity"] == "tanh" else torch.relu(total),)


class AnalogLSTM(_AnalogRecurrent):
    """`torch.nn.LSTM` on analog tiles, without projections."""

    digital_type = nn.LSTM
    states = 2

    def _step(self, from_input: Tensor, from_hidden: Tensor, state: State) -> State:
        let_in, forget, candidate, let_out = (from_input + from_hidden).chunk(4, dim=-1)
        cell = torch.sigmoid(forget) * state[1] + torch.sigmoid(let_in) * torch.tanh(candidate)
        return torch.sigmoid(let_out) * torch.tanh(cell), cell


class AnalogGRU(_AnalogRecurrent):
    """`torch.nn.GRU` on analog tiles."""

    digital_type = nn.GRU

    def _step(self, from_input: Tensor, from_hidden: Tensor, state: State) -> State:
        reset_x, update_x, new_x = from_input.chunk(3, dim=-1)
        reset_h, update_h, new_h = from_hidden.chunk(3, dim=-1)
        update = torch.sigmoid(update_x + update_h)
        candidate = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        return ((1 - update) * candidate + update * state[0],)
