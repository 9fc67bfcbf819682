"""A tile behind a static input range, forward and backward in one step of autograd.

`analog_product` does the same in steps of its own, each of which autograd notes; where layers are small, or
many, notes and steps cost more than what they compute. This is the common case: inputs are clipped to the
range and rounded, multiplied, and outputs get noise, are rounded, clipped and scaled. It needs the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from simulator.config.mapping import InputRangeParameter
from simulator.rng import Randomness
from simulator.tile.fast import arrays
from simulator.tile.fast.arrays import Converted, KernelFactor
from simulator.tile.input_range import MOST_LEARNED_FROM, input_gradients, range_gradient
from simulator.tile.layout import ChannelsLastProduct, DenseProduct, LayerProduct
from simulator.tile.plan import ForwardPlan
from simulator.tile.stages import (
    OutputNoise,
)


class StaticPass:
    """The pass of a tile, for all its calls.

    Args:
        plan: of the tile behind its range; its outputs are only converted.
        product: how the layer's inputs and weights are multiplied.
        step: what normalised inputs are rounded to, 0 without rounding.
        rule: how the range is learned.

    Attributes:
        native: the product of whole maps, or of vectors in rows, with laid out weights.
        clips: whether outputs are clipped at all.
    """

    def __init__(
        self, plan: ForwardPlan, product: LayerProduct, step: float, rule: InputRangeParameter
    ) -> None:
        self.plan, self.product, self.step, self.rule = plan, product, step, rule
        last = isinstance(product, ChannelsLastProduct)
        self.native = product.first if isinstance(product, ChannelsLastProduct) else product
        out_noise = plan.find(OutputNoise)
        self._noise_std = None if out_noise is None else out_noise.std
        self._adc, self.clips = plan.adc, plan.adc.bound < math.inf
        self._kept: tuple[Any, Any, tuple[Tensor, Tensor]] | None = (
            None  # with the tensors, so that ids are theirs
        )
        self._leading = 0 if isinstance(self.native, DenseProduct) else self.native.leading
        self._order = torch.channels_last if last else torch.contiguous_format
        self._vectors_in_rows = last or isinstance(product, DenseProduct)

    def __call__(  # noqa: PLR0917 - called for every tile
        self,
        x: Tensor,
        weights: Tensor,
        input_range: Tensor,
        out_scaling: Tensor | None,
        bias: Tensor | None,
        weight_scale: Tensor | None,
        output_scale: Tensor,
        generator: Randomness | None,
    ) -> Tensor:
        """Return the tile's result, in memory of its own.

        Args:
            x: the layer's inputs, or the tile's part of them.
            weights: `[O, ...]`.
            input_range: `[1]`.
            out_scaling: learned factor of the outputs, `[1]` or `[O]`; None without.
            bias: what is added to the result, `[O]`; None for nothing.
            weight_scale: what weights are divided by, `[]` or `[O]`; None for one.
            output_scale: factor of the outputs that is not learned, `[]`, `[1]` or `[O]`.
            generator: the call's stream; needed when the plan draws noise.
        """
        given = (x, weights, input_range, out_scaling, bias, weight_scale, output_scale, generator)
        if torch.is_grad_enabled():
            result: Tensor = _Pass.apply(*given, self)  # type: ignore[no-untyped-call]
            return result
        laid_out, scale = self.laid_out(weights, weight_scale), self.scale(output_scale, out_scaling)
        return self.evaluate(x, laid_out, input_range.item(), scale, bias, generator)

    def evaluate(  # noqa: PLR0917 - called for every tile
        self,
        x: Tensor,
        laid_out: Tensor,
        limit: float,
        scale: Tensor,
        bias: Tensor | None,
        generator: Randomness | None,
    ) -> Tensor:
        """Return the result without a gradient, for weights that are laid out, a range and a scale."""
        return self.convert(
            self.multiplied(self.converted(x, limit), laid_out), scale, bias, generator
        ).result

    def prepared(
        self,
        weights: Tensor,
        sources: tuple[Tensor | None, ...],
        limit: float,
        output_scale: Callable[[], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return what all batches of an evaluation share: laid out weights, and the factor of outputs.

        It is kept until one of the tensors that it is made of has changed. A parameter's `data` can change
        without a trace: the range is looked at each time, and the learned scale is left out.

        Args:
            weights: of the tile.
            sources: what the factor is made of, beside the range.
            limit: the range.
            output_scale: makes the factor.
        """
        key: tuple[object, ...] | None
        try:
            key = (limit, *(None if one is None else (id(one), one._version) for one in (weights, *sources)))  # noqa: SLF001 - torch has no public name for it
        except RuntimeError:  # tensors of the inference mode do not say whether they changed
            key = None
        kept = self._kept
        if kept is None or key is None or kept[0] != key:
            with torch.inference_mode(mode=False), torch.no_grad():
                result = (self.laid_out(weights), output_scale())
            kept = self._kept = (key, (weights, *sources), result)
        return kept[2]

    def laid_out(self, weights: Tensor, scale: Tensor | None = None) -> Tensor:
        """Return weights as the native operator takes them, divided by a scale."""
        shape = self._kernel_shape(weights)
        if scale is None and (shape == weights.shape and weights.is_contiguous(memory_format=self._order)):
            return weights
        return arrays.lay_out_weights(weights, shape, scale, self._leading, self._order)

    def weight_gradient(self, d_laid_out: Tensor, shape: torch.Size, scale: Tensor | None) -> Tensor:
        """Return the gradient at weights of that shape, from that at what they were laid out to."""
        return arrays.weight_gradient(d_laid_out, shape, scale, self._leading, self._order)

    def _kernel_shape(self, weights: Tensor) -> tuple[int, ...]:
        """Return the shape that the native operator takes."""
        native = self.native
        if isinstance(native, DenseProduct):
            return weights.shape
        return (weights.shape[0], native.channels, *native.kernel_size)

    def converted(self, x: Tensor, limit: float) -> Tensor:
        """Return the inputs as the tile gets them."""
        return arrays.convert_inputs(x, limit, self.step, 1.0, self._order)

    def multiplied(self, converted: Tensor, laid_out: Tensor) -> Tensor:
        """Return the product, before its conversion."""
        return self.native(converted, laid_out).contiguous(memory_format=self._order)

    def scale(self, output_scale: Tensor, out_scaling: Tensor | None) -> Tensor:
        """Return the factor of the outputs, `[]`, `[1]` or `[O]`."""
        scale = output_scale if out_scaling is None else output_scale * out_scaling
        return scale if self.plan.out_scale == 1 else scale * self.plan.out_scale

    def _rows(self, y: Tensor) -> tuple[int, int]:
        """Return how long the rows of outputs are that have the same factors, and how many outputs."""
        outputs = y.shape[-1] if isinstance(self.native, DenseProduct) else y.shape[1]
        if self._vectors_in_rows:
            return outputs * max(1, arrays.LONG_ROW // outputs), outputs
        return math.prod(y.shape[2:]), outputs

    def _factor(self, values: Tensor, length: int) -> KernelFactor:
        """Return one value or one for each output as the loops take it."""
        outputs = values.numel()
        if outputs == 1:
            return KernelFactor(values)
        if self._vectors_in_rows:
            return KernelFactor(values, 1, length, 1, outputs)
        return KernelFactor(values, outputs)

    def convert(
        self,
        y: Tensor,
        scale: Tensor,
        bias: Tensor | None,
        generator: Randomness | None,
        *,
        apart: bool = False,
        marks_inside: bool = False,
    ) -> Converted:
        """Convert outputs in place, or scale them into memory of its own; see `arrays.convert_outputs`."""
        length, _ = self._rows(y)
        return arrays.convert_outputs(
            y,
            length,
            self._noise_std,
            generator,
            self._adc.step,
            self._adc.bound,
            self._factor(scale, length),
            bias=None if bias is None else self._factor(bias.contiguous(), length),
            apart=apart,
            marks_inside=marks_inside,
        )

    def output_gradients(
        self, gradient: Tensor, inside: Tensor | None, scale: Tensor, y: Tensor | None, *, wants_bias: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return the gradients at the product, at each output's factor and at its bias."""
        gradient = gradient.contiguous(memory_format=self._order)
        length, outputs = self._rows(gradient)
        return arrays.output_gradients(
            gradient,
            length,
            outputs,
            self._factor(scale, length),
            inside,
            y,
            in_columns=self._vectors_in_rows,
            wants_bias=wants_bias,
        )

    def learned(
        self, x: Tensor, d_y: Tensor, laid_out: Tensor, input_range: Tensor, limit: float
    ) -> Tensor | None:
        """Return the range's gradient where inputs need none, if those that it clips are few."""
        if isinstance(self.native, DenseProduct):
            x, d_y = x.reshape(-1, x.shape[-1]), d_y.view(-1, d_y.shape[-1])
            options: tuple[tuple[int, ...], ...] = ((), (), (), ())
        else:
            native = self.native
            options = (native.kernel_size, native.stride, native.padding, native.dilation)
        geometry = _geometry(x.shape, x.stride(), d_y.shape, d_y.stride(), laid_out.stride(), *options)
        most = x.numel() // MOST_LEARNED_FROM
        clipped, outward = arrays.few_range_gradients(x, d_y, laid_out, geometry, limit, most)
        if clipped > most:
            return None
        return range_gradient(outward, clipped / max(x.numel(), 1), input_range, limit, self.rule)


@lru_cache(maxsize=64)
def _geometry(
    x_shape: tuple[int, ...],
    x_strides: tuple[int, ...],
    y_shape: tuple[int, ...],
    y_strides: tuple[int, ...],
    weight_strides: tuple[int, ...],
    *options: tuple[int, ...],
) -> NDArray[np.int64]:
    """Return what the kernel wants to know; dimensions that a product lacks are of size 1."""

    def three(values: tuple[int, ...], missing: int) -> tuple[int, ...]:
        return (missing,) * (3 - len(values)) + tuple(values)

    kernel, stride, padding, dilation = options
    sizes = [three(x_shape[2:], 1), three(y_shape[2:], 1), three(kernel, 1)]
    sizes += [three(stride, 1), three(padding, 0), three(dilation, 1)]
    strides = [(*all_[:2], *three(all_[2:], 0)) for all_ in (x_strides, y_strides, weight_strides)]
    return np.array([x_shape[1], y_shape[1], *chain.from_iterable(sizes + strides)], np.int64)


class _Pass(torch.autograd.Function):
    """Converted inputs are not kept for the backward pass, which converts them again: less memory."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes arguments by position
        ctx: Any,
        x: Tensor,
        weights: Tensor,
        input_range: Tensor,
        out_scaling: Tensor | None,
        bias: Tensor | None,
        weight_scale: Tensor | None,
        output_scale: Tensor,
        generator: Randomness | None,
        run: StaticPass,
    ) -> Tensor:
        laid_out = run.laid_out(weights, weight_scale)
        y = run.multiplied(run.converted(x, input_range.item()), laid_out)
        scale = run.scale(output_scale, out_scaling)
        learns_scale = out_scaling is not None and ctx.needs_input_grad[3]
        result, ctx.inside, _ = run.convert(
            y, scale, bias, generator, apart=learns_scale, marks_inside=run.clips
        )
        ctx.run, ctx.weight_shape = run, weights.shape
        kept = y if learns_scale else None
        ctx.save_for_backward(x, laid_out, input_range, out_scaling, weight_scale, output_scale, scale, kept)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, laid_out, input_range, out_scaling, weight_scale, output_scale, scale, y = ctx.saved_tensors
        wants_d_x, wants_d_weights, wants_d_range, _, wants_d_bias = ctx.needs_input_grad[:5]
        run: StaticPass = ctx.run
        limit = input_range.item()
        d_y, d_scaling, d_bias = run.output_gradients(gradient, ctx.inside, scale, y, wants_bias=wants_d_bias)
        d_x = d_range = d_weights = None
        if wants_d_range and not wants_d_x:
            d_range = run.learned(x, d_y, laid_out, input_range, limit)
        d_inputs, d_laid_out = run.native.gradients(
            d_y,
            run.converted(x, limit),
            laid_out,
            of_inputs=wants_d_x or (wants_d_range and d_range is None),
            of_weights=wants_d_weights,
        )
        if d_inputs is not None:
            d_x, d_range = input_gradients(
                x, d_inputs, input_range, limit, run.rule, wants_d_x=wants_d_x, wants_d_range=wants_d_range
            )
        if d_laid_out is not None:
            d_weights = run.weight_gradient(d_laid_out, ctx.weight_shape, weight_scale)
        if d_scaling is not None:
            d_scaling.mul_(run.scale(output_scale, None))
            d_scaling = d_scaling if out_scaling.numel() > 1 else d_scaling.sum().view(out_scaling.shape)
        return d_x, d_weights, d_range, d_scaling, d_bias, None, None, None, None
