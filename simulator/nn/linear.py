"""The analog linear layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from simulator.config import InferenceRPUConfig
from simulator.nn.layer import AnalogLayer, InputParts
from simulator.tile import DENSE, LayerProduct


class AnalogLinear(AnalogLayer):
    """`torch.nn.Linear` on analog tiles.

    Args:
        in_features: inputs.
        out_features: outputs.
        bias: whether there is one.
        rpu_config: the tiles' configuration, the default one when None.
    """

    digital_type = nn.Linear

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rpu_config: InferenceRPUConfig | None = None,
    ) -> None:
        self._adopt(nn.Linear(in_features, out_features, bias), rpu_config or InferenceRPUConfig())

    def _adopt(self, digital: nn.Module, rpu_config: InferenceRPUConfig) -> None:
        AnalogLayer.__init__(self, digital, rpu_config)
        self._parts = InputParts([slot.inputs for slot in self.slots], self.in_rows + int(self.analog_bias))
        self._products = [DENSE] * len(self.slots)

    @property
    def in_features(self) -> int:
        """Inputs of the layer."""
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        """Outputs of the layer."""
        return self.weight.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        """Return `[..., out]` for `x` of shape `[..., in]`."""
        if x.shape[-1] != self.in_features:
            raise ValueError(
                f"{self.layer_name or 'AnalogLinear'}: expected {self.in_features} inputs, got {x.shape[-1]}"
            )
        if self.analog_bias:
            x = torch.cat([x, x.new_ones(*x.shape[:-1], 1)], dim=-1)
        return self._run_tiles(x, self._products, channel_dim=-1)

    def products_for(self, _: Tensor) -> Sequence[LayerProduct]:
        """Return the products of the tiles with any inputs."""
        return self._products

    def probe_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shape of two input vectors."""
        return ((2, self.in_features),)

    def _digital_skeleton(self) -> nn.Module:
        return nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")

    def extra_repr(self) -> str:
        """Describe the layer as torch does."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )
