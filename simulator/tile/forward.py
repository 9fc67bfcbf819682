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
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, TypeVar

import torch
from torch import Tensor

from simulator.config.enums import NoiseManagementType
from simulator.rng import Randomness
from simulator.tile import fused, patches, wires
from simulator.tile.converters import TOP_CODE_SLACK, digitise, normalise, round_
from simulator.tile.draws import dither_like, normal_like
from simulator.tile.input_range import RangeLearner
from simulator.tile.instance import NO_SPREAD, InstanceParameters
from simulator.tile.meter import ClippingMeter
from simulator.tile.patches import Power, patch_product
from simulator.tile.plan import TilePlan
from simulator.tile.products import (
    DENSE,
    PATCHES,
    ChannelsLastProduct,
    ConvProduct,
    LayerProduct,
    Product,
    UnitVectorProduct,
    with_channels_first,
    with_channels_last,
)

Value = TypeVar("Value", Tensor, Tensor | float)

_CHUNK_ELEMENTS = 1 << 21  # unfolded inputs at once: few calls, and memory stays small


def analog_product(
    x: Tensor,
    weights: Tensor,
    plan: TilePlan,
    *,
    product: LayerProduct | UnitVectorProduct = DENSE,
    instance: InstanceParameters = NO_SPREAD,
    generator: Randomness | None = None,
    static_scale: float | None = None,
    output_scale: Tensor | None = None,
    meter: ClippingMeter | None = None,
    learner: RangeLearner | None = None,
) -> Tensor:
    """Return a tile's digital output for normalised inputs.

    A convolution runs natively where all its patches are converted alike, and is unfolded otherwise.

    Args:
        x: input vectors in rows, `[..., I]`; the feature map `[B, C, ...]` of a convolution, with channels
            last `[B, H, W, C]`; `[1, 1]` where the product is that of the unit vectors.
        weights: `[O, I]`, |w| = 1 is g_max; `[S, O, I]` gives each of S samples weights of its own.
        plan: the tile's compiled configuration.
        product: how inputs and weights are multiplied.
        instance: what the chip instance has drawn.
        generator: the stream of this call; needed when the plan draws noise.
        static_scale: the input scale of all vectors, in place of what noise management finds (AverageAbsMax).
        output_scale: digital factor of the result, `[]`, `[1]` or `[O]`; it may require a gradient.
        meter: counts what the converters clip.
        learner: of the range of inputs that need no gradient; the plan passes inputs, weights are `[O, I]`.

    Returns:
        `[..., O]`, or `[B, O, ...]` for a convolution with channels first, before the bias.

    Raises:
        ValueError: noise is to be drawn and there is no generator.
    """
    if plan.draws_noise and generator is None:
        raise ValueError("this tile draws noise: pass the generator of the call's stream")
    scale = plan.static_scale if static_scale is None else static_scale
    maps = product.first if isinstance(product, ChannelsLastProduct) else product
    if isinstance(maps, ConvProduct) and not (
        plan.converts_alike(scale) and weights.dim() == 2 and maps.bias_input is None
    ):
        call = _Call(plan, PATCHES, instance, generator, meter)
        if maps is product:
            return _unfolded(x, weights, maps, call, scale, output_scale)
        first = with_channels_first(x)
        return with_channels_last(_unfolded(first, weights, maps, call, scale, output_scale))
    return _Call(plan, product, instance, generator, meter, learner).output(x, weights, scale, output_scale)


def _unfolded(
    x: Tensor,
    weights: Tensor,
    product: ConvProduct,
    call: _Call,
    *scales: Any,
) -> Tensor:
    """Run a convolution patch by patch, a few samples at a time."""
    places = product.output_size(x)
    if call.converts_maps(x, weights, product, scales[0]):
        y = call.map_output(x, weights, product, scales[1])
        return y.reshape(*y.shape[:2], *places)
    samples = max(1, _CHUNK_ELEMENTS // (math.prod(places) * weights.shape[-1]))
    own_weights = weights.split(samples) if weights.dim() == 3 else repeat(weights)
    outputs = [
        call.output(product.unfold(part), part_weights, *scales)
        for part, part_weights in zip(x.split(samples), own_weights, strict=False)
    ]
    y = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return y.reshape(*y.shape[:2], *places)


@torch.no_grad()
def vector_scales(x: Tensor, plan: TilePlan, *, dim: int = -1, worst_case: bool = False) -> Tensor:
    """Return the scale that dynamic noise management gives each input vector; no gradient passes.

    Args:
        x: input vectors along `dim`, which has size 1 in the result.
        plan: the tile's plan.
        dim: where the vectors lie.
        worst_case: use the AbsMaxNPSum rule, whatever the configured one (second round of bound management).
    """
    if plan.management is NoiseManagementType.MAX and not worst_case:
        return x.amax(dim=dim, keepdim=True).clamp_(max=plan.scale_threshold)
    maximum = x.abs().amax(dim=dim, keepdim=True).clamp_(max=plan.scale_threshold)
    if plan.management is not NoiseManagementType.ABS_MAX_NP_SUM and not worst_case:
        return maximum
    positive = x.clamp(min=0).sum(dim=dim, keepdim=True)
    negative = positive - x.sum(dim=dim, keepdim=True)
    bound_scale = torch.maximum(positive, negative) * (plan.assumed_wmax / plan.reference_bound)
    if plan.inp_step > 0:
        bound_scale = torch.minimum(bound_scale, maximum * (plan.max_bm_res / plan.inp_step))
    return torch.maximum(maximum, bound_scale)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a tile: the steps of a product, in the order of the methods."""

    plan: TilePlan
    product: Product
    instance: InstanceParameters
    generator: Randomness | None
    meter: ClippingMeter | None = None
    learner: RangeLearner | None = None

    def output(
        self, x: Tensor, weights: Tensor, static_scale: float | None, output_scale: Tensor | None
    ) -> Tensor:
        """Return the scaled result."""
        plan = self.plan
        if plan.is_perfect:
            return _times(self.product(x, weights), self._digital(output_scale))
        if static_scale is not None and not plan.manages_bounds:
            rescale = _times(self._digital(output_scale), static_scale)
            return self._run(self._convert_inputs(x, static_scale), weights, rescale)[0]
        digital, factor = self._digital_apart(output_scale)
        return _times(self._run_vectors(x, weights, static_scale, digital), factor)

    def _digital(self, output_scale: Tensor | None) -> Tensor | float:
        """Return the factor of all outputs."""
        if output_scale is None:
            return self.plan.out_scale
        return _times(self.product.per_output(output_scale), self.plan.out_scale)

    def _digital_apart(self, output_scale: Tensor | None) -> tuple[Tensor | float, Tensor | None]:
        """Return the factor that goes with the scales of the vectors, and the one that needs a gradient."""
        if output_scale is None or not output_scale.requires_grad:
            return self._digital(output_scale), None
        return self.plan.out_scale, self.product.per_output(output_scale)

    def converts_maps(
        self, x: Tensor, weights: Tensor, product: ConvProduct, static_scale: float | None
    ) -> bool:
        """Whether `map_output` does what `output` does with unfolded patches."""
        plan = self.plan
        return (
            static_scale is None
            and weights.dim() == 2
            and plan.management is NoiseManagementType.ABS_MAX
            and plan.largest_input_fits
            and plan.inputs_are_only_rounded
            and plan.currents_are_only_noisy
            and self.meter is None
            and patches.converts(x, product)
        )

    def map_output(
        self, x: Tensor, weights: Tensor, product: ConvProduct, output_scale: Tensor | None
    ) -> Tensor:
        """Return the result for a feature map whose patches are scaled by their maxima, `[B, O, L]`."""
        plan = self.plan
        digital, factor = self._digital_apart(output_scale)
        power = Power.NONE
        if plan.weight_noise > 0:
            power = Power.OF_PRODUCTS if plan.weight_noise_pcm else Power.OF_INPUTS
        found = patch_product(x, weights, product, step=plan.inp_step, power=power)
        y, hit = self._convert_outputs(found.y, found.power, found.scales * digital)
        y = self._with_repeated(
            y,
            hit,
            digital,
            x=x,
            weights=weights,
            divisor=found.divisor,
            factor=found.scales,
            vectors=product,
        )
        return _times(y, factor)

    def _run_vectors(
        self, x: Tensor, weights: Tensor, static_scale: float | None, digital: Tensor | float
    ) -> Tensor:
        """Run vectors with scales of their own, and again those whose output hit the bound."""
        dim = self.product.vector_dim
        if static_scale is None:
            divisor, factor = _usable(vector_scales(x, self.plan, dim=dim), self.plan)
        else:
            divisor = factor = x.new_full((1,) * x.dim(), static_scale).expand(
                *(1 if axis == dim % x.dim() else size for axis, size in enumerate(x.shape))
            )
        fits = static_scale is None and self.plan.largest_input_fits
        y, hit = self._run(self._convert_inputs(x, divisor, fits=fits), weights, factor * digital)
        return self._with_repeated(
            y,
            hit,
            digital,
            x=x,
            weights=weights,
            divisor=divisor,
            factor=factor,
            vectors=self.product,
        )

    def _with_repeated(
        self,
        y: Tensor,
        hit: Tensor | None,
        digital: Tensor | float,
        *,
        x: Tensor,
        weights: Tensor,
        divisor: Tensor,
        factor: Tensor,
        vectors: Product | ConvProduct,
    ) -> Tensor:
        """Replace the outputs of the vectors that hit the bound by those of bound management."""
        dim = self.product.vector_dim
        if hit is None or self.plan.max_bound_factor < 1:
            return y
        places = torch.nonzero(hit & (factor > 0).squeeze(dim), as_tuple=True)
        if places[0].numel() == 0:
            return y
        repeated = replace(self, product=DENSE).repeat_rows(
            vectors.vectors(x, places),
            weights[places[0]] if weights.dim() == 3 else weights,
            divisor.movedim(dim, -1).expand(*hit.shape, 1)[places],
        )
        if isinstance(digital, Tensor) and digital.numel() > 1:
            digital = digital.flatten()
        return y.movedim(dim, -1).index_put(places, repeated * digital).movedim(-1, dim)

    def repeat_rows(self, x_NI: Tensor, weights: Tensor, divisor_N1: Tensor) -> Tensor:
        """Bound management of the vectors that hit the bound: scale them down until their outputs fit."""
        plan = self.plan
        reduction, worst_case = 1.0, plan.worst_case_first
        divisor_N1 = divisor_N1.clone()
        y_NO = x_NI.new_zeros(())
        active = torch.arange(x_NI.shape[0], device=x_NI.device)
        while active.numel() and reduction <= plan.max_bound_factor:
            x_rows = x_NI[active]
            if not worst_case:
                reduction *= 2
            elif plan.management is not NoiseManagementType.NONE:
                divisor_N1[active], _ = _usable(vector_scales(x_rows, plan, worst_case=True), plan)
            worst_case = False
            scale = divisor_N1[active] * reduction
            own_weights = weights[active] if weights.dim() == 3 else weights
            y_rows, hit = self._run(self._convert_inputs(x_rows, scale), own_weights, scale)
            y_NO = y_rows if y_NO.dim() == 0 else y_NO.index_copy(0, active, y_rows)
            active = active[torch.nonzero(hit).squeeze(-1)] if hit is not None else active[:0]
        return y_NO

    def _convert_inputs(self, x: Tensor, scale: Tensor | float, *, fits: bool = False) -> Tensor:
        """DAC: scale, round, clip unless all is known to fit, add noise, weaken negative values."""
        plan = self.plan
        dither = dither_like(x, self.generator) if plan.inp_sto_round and plan.inp_step > 0 else None
        bound = math.inf if fits else plan.inp_bound
        if self.meter is not None:
            self.meter.count_inputs(x / scale, plan.inp_bound * TOP_CODE_SLACK)
        converted = normalise(x, scale, plan.inp_step, bound, dither, plan.gradient_passes_from)
        if plan.inp_noise > 0:
            converted = converted + normal_like(converted, self.generator, plan.inp_noise)
        if plan.inp_asymmetry != 0:
            converted = torch.where(converted < 0, converted * (1 - plan.inp_asymmetry), converted)
        return converted

    def _run(self, x: Tensor, weights: Tensor, rescale: Tensor | float) -> tuple[Tensor, Tensor | None]:
        """Crossbar passes and ADC; also say which vectors hit the bound, None where none did."""
        if not self.plan.separate_passes:
            return self._convert_outputs(*self._crossbar(x, weights), rescale)
        asymmetry = self.instance.read_asymmetry
        negative_weights = weights if asymmetry is None else weights * asymmetry
        y_negative, power_negative = self._crossbar(x.clamp(max=0), negative_weights)
        y_positive, power_positive = self._crossbar(x.clamp(min=0), weights)
        if self.plan.digital_sum:
            y_negative, hit_negative = self._convert_outputs(y_negative, power_negative, rescale)
            y_positive, hit_positive = self._convert_outputs(y_positive, power_positive, rescale)
            return y_negative + y_positive, _either(hit_negative, hit_positive)
        power = None
        if power_negative is not None and power_positive is not None:
            power = power_negative + power_positive
        return self._convert_outputs(y_negative + y_positive, power, rescale)

    def _crossbar(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        """One pass: currents with IR drop, offsets and series resistance, and what the read noise grows with.

        That is sum x^2, or sum |w| x^2: the variance of read noise of strength one.
        """
        plan = self.plan
        y = wires.currents(x, weights, self.product, plan) if plan.ir_drop > 0 else self.product(x, weights)
        if self.learner is not None and isinstance(self.product, LayerProduct):
            y = self.learner.attach(y, weights, self.product)
        if plan.offset_std > 0 or plan.r_series > 0:
            y = self._offset_and_resistance(y, x)
        if plan.weight_noise == 0:
            return y, None
        with torch.no_grad():
            squared = x.detach().square()
            if plan.weight_noise_pcm:
                return y, self.product(squared, weights.detach().abs())
            return y, self.product.sum_inputs(squared)

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

    def _convert_outputs(
        self, y: Tensor, power: Tensor | None, rescale: Tensor | float
    ) -> tuple[Tensor, Tensor | None]:
        """ADC after nonlinearity and noise; Gaussians that nothing nonlinear separates are drawn as one."""
        plan = self.plan
        gain = self._calibration_gain()
        if plan.nonlinearity > 0 or gain != 1 or plan.out_asymmetry > 0:
            if power is not None:
                read_noise = fused.ReadNoise(power, plan.weight_noise**2, 0.0)
                y = y + read_noise.deviation() * normal_like(y, self.generator)
                power = None
            y = self._distort(y, gain)
        deviation = self._noise_deviation(power)
        if self._converts_fused(y):
            conversion = fused.OutputConversion(
                vector_dim=self.product.vector_dim,
                step=plan.out_step,
                bound=plan.out_bound,
                deviation=deviation,
                generator=self.generator,
                scale=rescale,
                finds_hits=plan.manages_bounds,
                tests_negative=plan.tests_negative_bound,
            )
            return fused.convert_outputs(y, conversion), conversion.hit
        noise = None
        if isinstance(deviation, fused.ReadNoise):
            deviation = deviation.deviation()
        if isinstance(deviation, float):
            noise = normal_like(y, self.generator, deviation)
        elif deviation is not None:
            noise = normal_like(y, self.generator).mul_(deviation)
        dither = dither_like(y, self.generator) if plan.out_sto_round and plan.out_step > 0 else None
        hit = None
        if plan.manages_bounds:
            y, noise = y if noise is None else y + noise, None
            hit = _bound_hits(y, dither, plan, self.product.vector_dim)
        if self.meter is not None:
            self.meter.count_outputs(y if noise is None else y + noise, plan.out_bound)
        learns = isinstance(rescale, Tensor) and rescale.requires_grad
        scale = 1.0 if learns else rescale
        converted = digitise(y, plan.out_step, plan.out_bound, noise=noise, dither=dither, scale=scale)
        return _times(converted, rescale) if learns else converted, hit

    def _converts_fused(self, y: Tensor) -> bool:
        """Whether a kernel does what remains, in place of y, which nobody else holds."""
        plan = self.plan
        return (
            not (plan.out_sto_round and plan.out_step > 0)
            and self.meter is None
            and plan.out_step + plan.out_noise + plan.weight_noise > 0
            and fused.converts_outputs(y)
        )

    def _noise_deviation(self, power: Tensor | None) -> Tensor | float | fused.ReadNoise | None:
        out_noise: Tensor | float = self.plan.out_noise
        if self.instance.out_noise is not None:
            out_noise = self.product.per_output(self.instance.out_noise)
        if power is None:
            return out_noise if self.plan.out_noise > 0 else None
        return fused.ReadNoise(power, self.plan.weight_noise**2, out_noise**2)

    def _calibration_gain(self) -> float:
        """The gain that makes up for nonlinearity and series resistance at a fraction of the out bound."""
        plan, slope = self.plan, self.instance.nonlinearity
        if plan.slope_calibration == 0:
            return 1.0
        mean = plan.nonlinearity if slope is None else float(slope.mean())
        return (1 + (mean + plan.r_series) * plan.slope_calibration * plan.reference_bound) ** 2

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


def _either(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Return where one of two holds; None where none does."""
    return one if other is None else (other if one is None else one | other)


def _usable(scales: Tensor, plan: TilePlan) -> tuple[Tensor, Tensor]:
    """Return what inputs are divided by and outputs multiplied with; a scale of zero silences its vector."""
    positive = scales > 0
    divisor = torch.where(positive, scales, 1.0)
    return divisor, divisor if plan.inp_noise > 0 else torch.where(positive, scales, 0.0)


@torch.no_grad()
def _bound_hits(y: Tensor, dither: Tensor | None, plan: TilePlan, dim: int) -> Tensor:
    """Which vectors have an output whose rounded value exceeds the bound."""
    rounded = round_(y.detach().clone(), plan.out_step, dither)
    beyond = rounded.abs_() if plan.tests_negative_bound else rounded
    return (beyond > plan.out_bound).any(dim=dim)


def _times(y: Value, factor: Tensor | float | None) -> Value:
    """Return the product, without an operation where it changes nothing."""
    return y if factor is None or (isinstance(factor, float) and factor == 1) else y * factor
