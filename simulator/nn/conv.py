"""Analog convolutions in one, two and three dimensions.

A convolution is the matrix-vector product of its kernel matrix with every patch of the input. Where the
tile's input scale does not depend on the patch, the activation is converted once and the native convolution
does the products; otherwise patches are unfolded into vectors. Both compute the same numbers.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from simulator.config import InferenceRPUConfig
from simulator.nn.grid import TileSlot
from simulator.nn.layer import AnalogLayer
from simulator.nn.tile import AnalogTile
from simulator.tile import ConvProduct

Size = int | tuple[int, ...]


class _AnalogConv(AnalogLayer):
    """What the dimensions share; see `torch.nn.Conv2d` for the meaning of the arguments."""

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
        self._symmetric = self._edges[::2] == self._edges[1::2]
        self._products = [self._product_of(slot) for slot in self.slots]

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

    def _product_of(self, slot: TileSlot) -> tuple[slice, ConvProduct]:
        """Return the channels that a tile's inputs touch, and its native product on them."""
        elements = math.prod(self.kernel_size)
        first = slot.inputs.start // elements
        stop = min(slot.inputs.stop, self.in_rows)  # an analog bias has no channel
        last = -(-stop // elements)
        offset = slot.group * (self.in_channels // self.groups)
        native_padding = self.padding_mode == "zeros" and self._symmetric
        product = ConvProduct(
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=tuple(self._edges[::2][::-1]) if native_padding else (0,) * len(self.kernel_size),
            dilation=self.dilation,
            channels=last - first,
            leading=slot.inputs.start - first * elements,
            trailing=last * elements - stop,
        )
        return slice(offset + first, offset + last), product

    def forward(self, x: Tensor) -> Tensor:
        """Return `[batch, out_channels, ...]` for `[batch, in_channels, ...]`; both also without batch."""
        dimensions = len(self.kernel_size)
        if x.dim() not in (dimensions + 1, dimensions + 2) or x.shape[-dimensions - 1] != self.in_channels:
            name = self.layer_name or type(self).__name__
            raise ValueError(
                f"{name}: expected [batch, {self.in_channels}, {dimensions} dimensions], got {list(x.shape)}"
            )
        batched = x if x.dim() == dimensions + 2 else x.unsqueeze(0)
        unfold = self.analog_bias or any(tile.needs_vectors() for _, tile in self.tile_slots())
        y = self._forward_unfolded(batched) if unfold else self._forward_native(batched)
        if self.bias is not None and not self.analog_bias:
            y = y + self.bias.reshape(-1, *(1 for _ in self.kernel_size))
        return y if x.dim() == dimensions + 2 else y.squeeze(0)

    def _forward_native(self, x: Tensor) -> Tensor:
        if self.padding_mode != "zeros" or not self._symmetric:
            x = self._pad(x)
        products = iter(self._products)

        def run(slot: TileSlot, tile: AnalogTile) -> Tensor:
            channels, product = next(products)
            part = x if product.channels == self.in_channels else x[:, channels]
            return tile(part, self.logical_block(slot), product)  # type: ignore[no-any-return]

        return self._sum_tiles(run, channel_dim=1)

    def _forward_unfolded(self, x: Tensor) -> Tensor:
        patches, spatial = self._patches(self._pad(x))
        single = patches.shape[-1]

        def run(slot: TileSlot, tile: AnalogTile) -> Tensor:
            vectors = patches[:, :, slot.group]
            if slot.shape[1] != single:
                vectors = vectors[..., slot.inputs]
            return tile(vectors, self.logical_block(slot))  # type: ignore[no-any-return]

        y = self._sum_tiles(run, channel_dim=-1)
        return y.transpose(1, 2).reshape(x.shape[0], self.out_channels, *spatial)

    def _pad(self, x: Tensor) -> Tensor:
        if not any(self._edges):
            return x
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        return functional.pad(x, self._edges, mode)

    def _patches(self, padded: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Return the patches `[batch, places, groups, in]` of a padded map, and the extent of the places."""
        dimensions = len(self.kernel_size)
        windows = padded
        for axis, (size, stride, dilation) in enumerate(
            zip(self.kernel_size, self.stride, self.dilation, strict=True)
        ):
            reach = (size - 1) * dilation + 1
            windows = windows.unfold(2 + axis, reach, stride)
            if dilation > 1:
                windows = windows[..., ::dilation]
        spatial = tuple(windows.shape[2 : 2 + dimensions])
        order = (0, *range(2, 2 + dimensions), 1, *range(2 + dimensions, 2 + 2 * dimensions))
        patches = windows.permute(order).reshape(
            padded.shape[0], math.prod(spatial), self.groups, self.in_rows
        )
        if self.analog_bias:
            patches = torch.cat([patches, patches.new_ones(*patches.shape[:-1], 1)], dim=-1)
        return patches, spatial

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
