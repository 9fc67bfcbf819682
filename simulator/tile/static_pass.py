"""A tile behind a static input range, forward and backward in one step of autograd.

`analog_product` does the same in steps of its own, each of which autograd notes; where layers are small, or
many, notes and steps cost more than what they compute. This is the common case: inputs are clipped to the
range and rounded, multiplied, and outputs get noise, are rounded, clipped and scaled. It needs the kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from simulator.config.mapping import InputRangeParameter
from simulator.rng import Randomness
from simulator.tile import fused
from simulator.tile.input_range import OutputClipping, RangeLearner, input_gradients
from simulator.tile.plan import TilePlan
from simulator.tile.products import LayerProduct


@dataclass(slots=True)  # not frozen, which would take longer to make
class StaticPass:
    """One call.

    Attributes:
        plan: of the tile behind its range; its outputs are only converted.
        product: how inputs and weights are multiplied.
        step: what normalised inputs are rounded to, 0 without rounding.
        rule: how the range is learned.
        generator: the call's stream; needed when the plan draws noise.
        weight_scale: what weights are divided by, `[]` or `[O, 1]`; None for one.
        output_scale: factor of the outputs that is not learned, `[]`, `[1]` or `[O]`.
    """

    plan: TilePlan
    product: LayerProduct
    step: float
    rule: InputRangeParameter
    generator: Randomness | None
    weight_scale: Tensor | None
    output_scale: Tensor

    def __call__(self, x: Tensor, weights: Tensor, input_range: Tensor, out_scaling: Tensor | None) -> Tensor:
        """Return the tile's result, in memory of its own.

        Args:
            x: inputs.
            weights: `[O, I]`; of an evaluation they may be laid out for the product.
            input_range: `[1]`.
            out_scaling: learned factor of the outputs, `[1]` or `[O]`; None without.
        """
        if torch.is_grad_enabled():
            result: Tensor = _Pass.apply(x, weights, input_range, out_scaling, self)  # type: ignore[no-untyped-call]
            return result
        y = self.multiplied(x, self.tile_weights(weights), input_range)
        return fused.convert_outputs(y, self.conversion(self.scale(out_scaling)))

    def tile_weights(self, weights: Tensor) -> Tensor:
        """Return the weights as they are on the tile."""
        return weights if self.weight_scale is None else weights / self.weight_scale

    def weight_gradient(self, d_weights: Tensor) -> Tensor:
        """Return the gradient at the weights, from that at the tile's, which is overwritten."""
        return d_weights if self.weight_scale is None else d_weights.div_(self.weight_scale)

    def multiplied(self, x: Tensor, tile_weights: Tensor, input_range: Tensor) -> Tensor:
        """Return the product, before its conversion."""
        return self.product(self.converted(x, input_range), tile_weights).contiguous()

    def converted(self, x: Tensor, input_range: Tensor) -> Tensor:
        """Return the inputs as the tile gets them."""
        return fused.convert_inputs(x, float(input_range), self.step, 1.0)

    def scale(self, out_scaling: Tensor | None) -> Tensor:
        """Return the factor of the outputs; broadcasts over them."""
        scale = self.output_scale if out_scaling is None else self.output_scale * out_scaling
        scale = self.product.per_output(scale)
        return scale if self.plan.out_scale == 1 else scale * self.plan.out_scale

    def conversion(self, scale: Tensor) -> fused.OutputConversion:
        """Return what is done to the outputs."""
        plan = self.plan
        return fused.OutputConversion(
            vector_dim=self.product.vector_dim,
            step=plan.out_step,
            bound=plan.out_bound,
            deviation=plan.out_noise if plan.out_noise > 0 else None,
            generator=self.generator,
            scale=scale,
            finds_hits=False,
            tests_negative=plan.tests_negative_bound,
        )


class _Pass(torch.autograd.Function):
    """Converted inputs are not kept for the backward pass, which converts them again: less memory."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes arguments by position
        ctx: Any,
        x: Tensor,
        weights: Tensor,
        input_range: Tensor,
        out_scaling: Tensor | None,
        call: StaticPass,
    ) -> Tensor:
        tile_weights = call.tile_weights(weights)
        y, scale = call.multiplied(x, tile_weights, input_range), call.scale(out_scaling)
        result = None if out_scaling is None or not ctx.needs_input_grad[3] else torch.empty_like(y)
        ctx.inside = fused.convert_and_mark(y, call.conversion(scale), result)
        ctx.call = call
        kept = None if result is None else y
        ctx.save_for_backward(x, tile_weights, input_range, out_scaling, scale, kept, call.weight_scale)
        return y if result is None else result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, tile_weights, input_range, out_scaling, scale, y, _ = ctx.saved_tensors
        wants_d_x, wants_d_weights, wants_d_range, _ = ctx.needs_input_grad[:4]
        call: StaticPass = ctx.call
        d_y, d_scale = fused.output_gradients(gradient, call.product.vector_dim, ctx.inside, scale, y)
        learner = None
        if wants_d_range and not wants_d_x:
            learner = RangeLearner(x, input_range, call.rule, OutputClipping())
            learner = learner if learner.pays else None
        of_inputs = wants_d_x or (wants_d_range and learner is None)
        d_inputs, d_weights = call.product.gradients(
            d_y,
            call.converted(x, input_range),
            tile_weights,
            of_inputs=of_inputs,
            of_weights=wants_d_weights,
        )
        d_x = d_range = d_out_scaling = None
        if d_inputs is not None:
            d_x, d_range = input_gradients(
                x, d_inputs, input_range, call.rule, wants_d_x=wants_d_x, wants_d_range=wants_d_range
            )
        elif learner is not None:
            d_range = learner.gradient(d_y, tile_weights, call.product)
        if d_weights is not None:
            d_weights = call.weight_gradient(d_weights)
        if d_scale is not None:
            factor = call.scale(None).reshape(-1)
            d_out_scaling = (d_scale.reshape(-1) * factor).sum_to_size(out_scaling.shape)
        return d_x, d_weights, d_range, d_out_scaling, None
