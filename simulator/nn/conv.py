"""Analog convolutions in one, two and three dimensions.

A convolution is the matrix-vector product of its kernel matrix with every patch of the input; a tile takes
the channels that it touches and decides itself whether it must unfold them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from simulator.config import InferenceRPUConfig
from simulator.config.tiling import TileSlot
from simulator.nn.layer import AnalogLayer, InputParts
from simulator.nn.tile import AnalogTile
from simulator.tile import ChannelsLastProduct, ConvProduct

Size = int | tuple[int, ...]


class _AnalogConv(AnalogLayer):
    """What the dimensions share; see `torch.nn.Conv2d` for the meaning of the arguments.

    Attributes:
        channels_last: whether maps lie channels last in memory, where the tiles take whole maps.
    """

    digital_type: type[nn.Conv1d | nn.Conv2d | nn.Conv3d]

    def __init__(  # noqa: PLR0917 - torch's signature
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        rpu_config: InferenceRPUConfig | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "bias": bias,
            "padding_mode": padding_mode,
        }
        digital = self.digital_type(in_channels, out_channels, kernel_size, **options)  # type: ignore[arg-type]
        self._adopt(digital, rpu_config or InferenceRPUConfig())

    def _adopt(self, digital: nn.Module, rpu_config: InferenceRPUConfig) -> None:
        if not isinstance(digital, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            raise TypeError(f"expected a plain convolution, got {type(digital).__name__}")
        AnalogLayer.__init__(self, digital, rpu_config, groups=digital.groups)
        self.in_channels = digital.in_channels
        self.out_channels = digital.out_channels
        self.kernel_size = tuple(digital.kernel_size)
        self.stride = tuple(digital.stride)
        self.dilation = tuple(digital.dilation)
        self.groups = digital.groups
        self.padding = digital.padding if isinstance(digital.padding, str) else tuple(digital.padding)
        self.padding_mode = digital.padding_mode
        self._edges = self._edge_sizes()
        self._pads_natively = self.padding_mode == "zeros" and self._edges[::2] == self._edges[1::2]
        channels = [self._channels_of(slot) for slot in self.slots]
        self._parts = InputParts(channels, self.in_channels)
        self._products = list(map(self._product_of, self.slots, channels))
        self._products_last = [ChannelsLastProduct(product) for product in self._products]
        self.channels_last = False

    def _edge_sizes(self) -> list[int]:
        """What is padded before and after each dimension, the last dimension first, as `pad` takes it."""
        edges = []
        for axis in reversed(range(len(self.kernel_size))):
            if isinstance(self.padding, str):
                total = 0 if self.padding == "valid" else self.dilation[axis] * (self.kernel_size[axis] - 1)
                edges += [total // 2, total - total // 2]
            else:
                edges += [self.padding[axis]] * 2
        return edges

    def _channels_of(self, slot: TileSlot) -> slice:
        """Return the channels that a tile's inputs touch."""
        elements = math.prod(self.kernel_size)
        offset = slot.group * (self.in_channels // self.groups)
        stop = min(slot.inputs.stop, self.in_rows)  # an analog bias has no channel
        return slice(offset + slot.inputs.start // elements, offset - (-stop // elements))

    def _product_of(self, slot: TileSlot, channels: slice) -> ConvProduct:
        """Return a tile's native product on the channels that it touches."""
        elements = math.prod(self.kernel_size)
        return ConvProduct(
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=tuple(self._edges[::2][::-1]) if self._pads_natively else (0,) * len(self.kernel_size),
            dilation=self.dilation,
            channels=channels.stop - channels.start,
            leading=slot.inputs.start % elements,
            trailing=-min(slot.inputs.stop, self.in_rows) % elements,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return `[batch, out_channels, ...]` for `[batch, in_channels, ...]`; both also without batch."""
        dimensions = len(self.kernel_size)
        if x.dim() not in (dimensions + 1, dimensions + 2) or x.shape[-dimensions - 1] != self.in_channels:
            name = self.layer_name or type(self).__name__
            raise ValueError(
                f"{name}: expected [batch, {self.in_channels}, {dimensions} dimensions], got {list(x.shape)}"
            )
        batched = x if x.dim() == dimensions + 2 else x.unsqueeze(0)
        if not self._pads_natively and any(self._edges):
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            batched = functional.pad(batched, self._edges, mode)
        y = self._run_tiles(batched, self.products_for(batched), channel_dim=1)
        return y if x.dim() == dimensions + 2 else y.squeeze(0)

    def _takes_whole_maps(self) -> bool:
        for tile in cast("Iterable[AnalogTile]", self.tiles):  # noqa: SIM110 - asked for every call: a generator would double the time
            if not tile.setup.takes_whole_maps:
                return False
        return True

    def products_for(self, x: Tensor) -> Sequence[ConvProduct | ChannelsLastProduct]:
        """Return the products of the tiles with such maps; the input of an analog bias is one."""
        if not self.analog_bias:
            return self._products_last if self.channels_last and self._takes_whole_maps() else self._products
        return [
            replace(product, bias_input=x.new_ones(1)) if slot.inputs.stop > self.in_rows else product
            for slot, product in zip(self.slots, self._products, strict=True)
        ]

    def probe_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shape of one input, of two places in each dimension at least."""
        reach = [
            dilation * (kernel - 1) + 1 + stride
            for dilation, kernel, stride in zip(self.dilation, self.kernel_size, self.stride, strict=True)
        ]
        return ((1, self.in_channels, *(max(size, 1 + max(self._edges)) for size in reach)),)

    def _digital_skeleton(self) -> nn.Module:
        options: dict[str, Any] = {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
            "bias": self.bias is not None,
            "padding_mode": self.padding_mode,
            "device": "meta",
        }
        return self.digital_type(self.in_channels, self.out_channels, self.kernel_size, **options)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """Describe the layer as torch does."""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        for name, value, default in (
            ("padding", self.padding, (0,) * len(self.kernel_size)),
            ("dilation", self.dilation, (1,) * len(self.kernel_size)),
            ("groups", self.groups, 1),
            ("bias", self.bias is not None, True),
            ("padding_mode", self.padding_mode, "zeros"),
        ):
            if value != default:
                text += f", {name}={value}"
        return text


class AnalogConv1d(_AnalogConv):
    """`torch.nn.Conv1d` on analog tiles."""

    digital_type = nn.Conv1d


class AnalogConv2d(_AnalogConv):
    """`torch.nn.Conv2d` on analog tiles."""

    digital_type = nn.Conv2d


class AnalogConv3d(_AnalogConv):
    """`torch.nn.Conv3d` on analog tiles."""

    digital_type = nn.Conv3d
