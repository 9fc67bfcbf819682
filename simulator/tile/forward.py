"""One analog matrix-vector product: DAC, crossbar, ADC, with noise and bound management.

The order of operations, and every rounding, is that of the inference tile of aihwkit (Rasch et al., AICAS
2021); docs/quirks.md lists where we decide otherwise. Gradients are those of the mathematical forward pass
with straight-through rounding: none where an input or an output was clipped, none through the scale of noise
management, none through noise, and none through the IR drop, which is a small perturbation.

Legend of shapes: N vectors, I inputs, O outputs. Where a tile runs as a native convolution, the same code
works on feature maps, because only the `Product` knows the layout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simulator.config.enums import NoiseManagementType
from simulator.tile.converters import digitise
from simulator.tile.instance import NO_SPREAD, InstanceParameters
from simulator.tile.plan import TilePlan
from simulator.tile.products import DENSE, Product


def analog_product(
    x: Tensor,
    weights: Tensor,
    plan: TilePlan,
    *,
    product: Product = DENSE,
    instance: InstanceParameters = NO_SPREAD,
    generator: torch.Generator | None = None,
    static_scale: float | None = None,
) -> Tensor:
    """Return a tile's digital output for normalised inputs.

    Args:
        x: input vectors in rows, `[..., I]`; a feature map where the product is a convolution.
        weights: `[O, I]`, |w| = 1 is g_max; `[S, O, I]` gives each of S samples weights of its own.
        plan: the tile's compiled configuration.
        product: how inputs and weights are multiplied. Plans that treat vectors alone need the dense one.
        instance: what the chip instance has drawn.
        generator: the stream of this call; needed when the plan draws noise.
        static_scale: the input scale of all vectors, in place of what noise management finds (AverageAbsMax).

    Returns:
        `[..., O]`, or `[B, O, ...]` for a convolution, before mapping scales and bias.

    Raises:
        ValueError: noise is to be drawn and there is no generator.
    """
    if weights.dim() == 3 and x.dim() > 2:
        vectors = x.reshape(-1, x.shape[-1])
        y = analog_product(
            vectors, weights, plan, instance=instance, generator=generator, static_scale=static_scale
        )
        return y.reshape(*x.shape[:-1], -1)
    if plan.is_perfect:
        return _times(product(x, weights), plan.out_scale)
    if plan.draws_noise and generator is None:
        raise ValueError("this tile draws noise: pass the generator of the call's stream")
    call = _Call(plan, product, instance, generator)
    scale = plan.static_scale if static_scale is None else static_scale
    if scale is not None and not plan.manages_bounds:
        y, _ = call.run(call.convert_inputs(x, scale), weights)
        return _times(y, plan.out_scale * scale)
    vectors = x.reshape(-1, x.shape[-1])
    y = call.run_per_vector(vectors, weights, scale)
    return _times(y, plan.out_scale).reshape(*x.shape[:-1], -1)


@torch.no_grad()
def vector_scales(x_NI: Tensor, plan: TilePlan, *, worst_case: bool = False) -> Tensor:
    """Return the scale `[N, 1]` that dynamic noise management gives each input vector; no gradient passes.

    Args:
        x_NI: the input vectors.
        plan: the tile's plan.
        worst_case: use the AbsMaxNPSum rule, whatever the configured one (second round of bound management).
    """
    if plan.management is NoiseManagementType.MAX and not worst_case:
        return x_NI.amax(dim=-1, keepdim=True).clamp_(max=plan.scale_threshold)
    maximum = x_NI.abs().amax(dim=-1, keepdim=True).clamp_(max=plan.scale_threshold)
    if plan.management is not NoiseManagementType.ABS_MAX_NP_SUM and not worst_case:
        return maximum
    positive = x_NI.clamp(min=0).sum(dim=-1, keepdim=True)
    negative = positive - x_NI.sum(dim=-1, keepdim=True)
    bound_scale = torch.maximum(positive, negative) * (plan.assumed_wmax / plan.out_bound)
    if plan.inp_step > 0:
        bound_scale = torch.minimum(bound_scale, maximum * (plan.max_bm_res / plan.inp_step))
    return torch.maximum(maximum, bound_scale)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a tile: the steps of a product, in the order of the methods."""

    plan: TilePlan
    product: Product
    instance: InstanceParameters
    generator: torch.Generator | None

    def run_per_vector(self, x_NI: Tensor, weights: Tensor, static_scale: float | None) -> Tensor:
        """Run vectors with scales of their own, and again those whose output hit the bound."""
        plan = self.plan
        if static_scale is None:
            divisor, factor = _usable(vector_scales(x_NI, plan), plan)
        else:
            divisor = factor = x_NI.new_full((x_NI.shape[0], 1), static_scale)
        y, hit = self.run(self.convert_inputs(x_NI, divisor), weights)
        y = y * factor
        rows = _rows_to_repeat(hit, factor)
        reduction, worst_case = 1.0, plan.worst_case_first
        while rows.numel() and reduction <= plan.max_bound_factor:
            x_rows = x_NI[rows]
            if not worst_case:
                reduction *= 2
            elif static_scale is None:
                divisor, factor = divisor.clone(), factor.clone()
                divisor[rows], factor[rows] = _usable(vector_scales(x_rows, plan, worst_case=True), plan)
            worst_case = False
            own_weights = weights
            if weights.dim() == 3:
                own_weights = weights[rows // (x_NI.shape[0] // weights.shape[0])]
            y_rows, hit = self.run(self.convert_inputs(x_rows, divisor[rows] * reduction), own_weights)
            y = y.index_copy(0, rows, y_rows * (factor[rows] * reduction))
            rows = rows[_rows_to_repeat(hit, factor[rows])]
        return y

    def convert_inputs(self, x: Tensor, scale: Tensor | float) -> Tensor:
        """DAC: scale, round, clip, add noise, weaken negative values."""
        plan = self.plan
        scaled = x if isinstance(scale, float) and scale == 1 else x / scale
        dither = self._dither(scaled) if plan.inp_sto_round and plan.inp_step > 0 else None
        converted = digitise(scaled, plan.inp_step, plan.inp_bound, dither, in_place=scaled is not x)
        if plan.inp_noise > 0:
            converted = converted + plan.inp_noise * self._normal(converted)
        if plan.inp_asymmetry != 0:
            converted = torch.where(converted < 0, converted * (1 - plan.inp_asymmetry), converted)
        return converted

    def run(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        """Crossbar passes and ADC; also say which vectors hit the bound, None without bound management."""
        if not self.plan.separate_passes:
            return self._convert_outputs(*self._crossbar(x, weights))
        asymmetry = self.instance.read_asymmetry
        negative_weights = weights if asymmetry is None else weights * asymmetry
        y_negative, variance_negative = self._crossbar(x.clamp(max=0), negative_weights)
        y_positive, variance_positive = self._crossbar(x.clamp(min=0), weights)
        if self.plan.digital_sum:
            y_negative, hit_negative = self._convert_outputs(y_negative, variance_negative)
            y_positive, hit_positive = self._convert_outputs(y_positive, variance_positive)
            hit = None if hit_negative is None or hit_positive is None else hit_negative | hit_positive
            return y_negative + y_positive, hit
        variance = None
        if variance_negative is not None and variance_positive is not None:
            variance = variance_negative + variance_positive
        return self._convert_outputs(y_negative + y_positive, variance)

    def _crossbar(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        """One pass: currents with IR drop, offsets and series resistance, and the read noise's variance."""
        plan = self.plan
        y = self.product(x, weights)
        if plan.ir_drop > 0:
            y = y.sub_(self._ir_drop(x.detach(), weights.detach()))
        if plan.offset_std > 0 or plan.r_series > 0:
            y = self._offset_and_resistance(y, x)
        if plan.weight_noise == 0:
            return y, None
        with torch.no_grad():
            squared = x.detach().square()
            power = (
                self.product(squared, weights.detach().abs())
                if plan.weight_noise_pcm
                else self.product.sum_inputs(squared)
            )
            return y, power.mul_(plan.weight_noise**2)

    @torch.no_grad()
    def _ir_drop(self, x: Tensor, weights: Tensor) -> Tensor:
        """Third-order approximation of the voltage drop along the wires; inputs count from the near end."""
        in_features = weights.shape[-1]
        load = self.product(x.abs(), weights.abs()).mul_(in_features / self.plan.ir_drop_g_ratio)
        position = torch.arange(in_features, dtype=weights.dtype, device=weights.device) / in_features
        drop = self.product(x, weights * (1 - (1 - position).square()))
        return drop.mul_(load * (load * (0.05 * load - 0.2) + 0.5)).mul_(self.plan.ir_drop)

    def _offset_and_resistance(self, y: Tensor, x: Tensor) -> Tensor:
        """Voltage offset of the output line and series resistance, relative to a reference current."""
        resistance = self.plan.r_series

        def saturate(current: Tensor) -> Tensor:
            return current / (1 + resistance * current.abs()) if resistance > 0 else current

        offset: Tensor | float = 0.0
        if self.instance.voltage_offset is not None:
            offset = self.product.per_output(self.instance.voltage_offset)
        if self.plan.reference_weight == 0:
            return (1 - offset) * saturate(y)
        reference = self.plan.reference_weight * self.product.sum_inputs(x)
        if resistance == 0:
            return (1 - offset) * y - 2 * offset * reference
        return (1 - offset) * saturate(y + reference) - (1 + offset) * saturate(reference)

    def _convert_outputs(self, y: Tensor, variance: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """ADC after nonlinearity and noise; Gaussians that nothing nonlinear separates are drawn as one."""
        plan = self.plan
        gain = self._calibration_gain()
        if plan.nonlinearity > 0 or gain != 1 or plan.out_asymmetry > 0:
            if variance is not None:
                y = y + variance.sqrt_() * self._normal(y)
                variance = None
            y = self._distort(y, gain)
        deviation = self._noise_deviation(variance)
        if deviation is not None:
            y = y.add_(self._normal(y).mul_(deviation))  # in place: the product's result is ours
        dither = self._dither(y) if plan.out_sto_round and plan.out_step > 0 else None
        hit = _bound_hits(y, dither, plan) if plan.manages_bounds else None
        return digitise(y, plan.out_step, plan.out_bound, dither, in_place=True), hit

    def _noise_deviation(self, variance: Tensor | None) -> Tensor | float | None:
        out_noise: Tensor | float = self.plan.out_noise
        if self.instance.out_noise is not None:
            out_noise = self.product.per_output(self.instance.out_noise)
        if variance is not None:
            return (variance + out_noise**2 if self.plan.out_noise > 0 else variance).sqrt_()
        return out_noise if self.plan.out_noise > 0 else None

    def _calibration_gain(self) -> float:
        """The gain that makes up for nonlinearity and series resistance at a fraction of the out bound."""
        plan, slope = self.plan, self.instance.nonlinearity
        if plan.slope_calibration == 0 or plan.out_bound == math.inf:
            return 1.0
        mean = plan.nonlinearity if slope is None else float(slope.mean())
        return (1 + (mean + plan.r_series) * plan.slope_calibration * plan.out_bound) ** 2

    def _distort(self, y: Tensor, gain: float) -> Tensor:
        """The ADC's saturating nonlinearity and its weaker negative side."""
        plan = self.plan
        if plan.nonlinearity > 0:
            slope: Tensor | float = plan.nonlinearity
            if self.instance.nonlinearity is not None:
                slope = self.product.per_output(self.instance.nonlinearity)
            y = y / (1 + (slope * y).abs())
        y = _times(y, gain)
        if plan.out_asymmetry > 0:
            y = torch.where(y < 0, y * (1 - plan.out_asymmetry), y)
        return y

    def _normal(self, y: Tensor) -> Tensor:
        draws = torch.empty_like(y, memory_format=torch.contiguous_format, requires_grad=False)
        return draws.normal_(generator=self.generator)

    def _dither(self, y: Tensor) -> Tensor:
        draws = torch.empty_like(y, memory_format=torch.contiguous_format, requires_grad=False)
        return draws.uniform_(-0.5, 0.5, generator=self.generator)


def _usable(scales_N1: Tensor, plan: TilePlan) -> tuple[Tensor, Tensor]:
    """Return what inputs are divided by and outputs multiplied with; a scale of zero silences its vector."""
    positive = scales_N1 > 0
    divisor = torch.where(positive, scales_N1, 1.0)
    return divisor, divisor if plan.inp_noise > 0 else torch.where(positive, scales_N1, 0.0)


def _rows_to_repeat(hit_N: Tensor | None, factor_N1: Tensor) -> Tensor:
    if hit_N is None:
        return torch.empty(0, dtype=torch.long, device=factor_N1.device)
    return torch.nonzero(hit_N & (factor_N1[:, 0] > 0)).squeeze(-1)


@torch.no_grad()
def _bound_hits(y_NO: Tensor, dither: Tensor | None, plan: TilePlan) -> Tensor:
    """Which vectors have an output whose rounded value exceeds the bound."""
    rounded = digitise(y_NO.detach(), plan.out_step, math.inf, dither)
    beyond = rounded.abs() if plan.tests_negative_bound else rounded
    return (beyond > plan.out_bound).any(dim=-1)


def _times(y: Tensor, factor: float) -> Tensor:
    return y if factor == 1 else y * factor
