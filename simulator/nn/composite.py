"""Layers that are made of several weight matrices: each becomes an analog linear layer of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn

from simulator.config import InferenceRPUConfig
from simulator.nn.linear import AnalogLinear
from simulator.rng import NoiseContext


class AnalogComposite(nn.Module, ABC):
    """A layer whose matrices run as `AnalogLinear` layers below it, under names below its own.

    Attributes:
        rpu_config: the configuration of all its matrices.
    """

    digital_type: type[nn.Module]

    def __init__(self, digital: nn.Module, rpu_config: InferenceRPUConfig) -> None:
        super().__init__()
        self.rpu_config = rpu_config = rpu_config.frozen()
        self._build(digital)
        self.train(digital.training)

    @classmethod
    def from_digital(cls, digital: nn.Module, rpu_config: InferenceRPUConfig) -> Self:
        """Return an analog layer with the parameters of a plain torch layer."""
        return cls(digital, rpu_config)

    @abstractmethod
    def _build(self, digital: nn.Module) -> None:
        """Make the matrices from the plain layer's parameters, and take over its options."""

    @abstractmethod
    def probe_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of small inputs, which the layer is compared with its digital form on."""

    @abstractmethod
    def to_digital(self) -> nn.Module:
        """Return a plain torch layer with the effective logical weights."""

    def matrices(self) -> Iterator[tuple[str, AnalogLinear]]:
        """Iterate over the matrices with their names below the layer."""
        for name, module in self.named_modules():
            if isinstance(module, AnalogLinear):
                yield name, module

    def bind(self, context: NoiseContext, name: str) -> None:
        """Give the matrices their names and the noise context that they share with their model."""
        for below, matrix in self.matrices():
            matrix.bind(context, f"{name}.{below}" if name else below)

    def _matrix(self, weight: Tensor, bias: Tensor | None) -> AnalogLinear:
        """Return a matrix that takes over parameters, or has parameters of its own where it gets a part."""
        plain = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
        plain.weight = _parameter(weight)
        if bias is not None:
            plain.bias = _parameter(bias)
        return AnalogLinear.from_digital(plain, self.rpu_config)


def _parameter(value: Tensor) -> nn.Parameter:
    if isinstance(value, nn.Parameter):
        return value
    return nn.Parameter(value.detach().clone(), requires_grad=value.requires_grad)


def with_state(digital_type: type[nn.Module], options: dict[str, Any], state: dict[str, Tensor]) -> nn.Module:
    """Return a plain layer that has these parameters, without drawing initial ones."""
    with torch.device("meta"):
        module = digital_type(**options)
    module.load_state_dict(state, assign=True)
    return module
