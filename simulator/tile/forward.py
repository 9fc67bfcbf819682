"""One analog matrix-vector product: the reference, every stage step by step in torch, in physical order.

The order of operations, and every rounding, is that of the inference tile of aihwkit (Rasch et al., AICAS
2021); docs/quirks.md lists where we decide otherwise. Gradients are those of the mathematical forward pass
with straight-through rounding: none where an input or an output was clipped, none through the scale of noise
management, none through noise, and none through the IR drop, which is a small perturbation.

Legend of shapes: N vectors, I inputs, O outputs. Where a tile runs as a native convolution, the same code
works on feature maps, because only the `Product` knows the layout.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import repeat
from typing import TypeVar

import torch
from torch import Tensor

from simulator.config.enums import NoiseManagementType
from simulator.rng import Randomness
from simulator.tile import ir_drop, path
from simulator.tile.clipping import ClippingMeter
from simulator.tile.dac_adc import TOP_CODE_SLACK, digitise, normalise, round_
from simulator.tile.fast.conversion import OutputConversion, convert_outputs
from simulator.tile.fast.patches import ReadNoiseInput, patch_product
from simulator.tile.input_range import RangeLearner
from simulator.tile.layout import (
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
from simulator.tile.noise import NO_SPREAD, InstanceParameters, PooledNoise, dither_like, normal_like
from simulator.tile.path import Way
from simulator.tile.plan import ForwardPlan
from simulator.tile.stages import (
    Adc,
    BoundManagement,
    Crossbar,
    Dac,
    DitheredAdc,
    DitheredDac,
    InputAsymmetry,
    InputNoise,
    IrDrop,
    Nonlinearity,
    OutputAsymmetry,
    OutputLine,
    OutputNoise,
    OutputScale,
    PerfectProduct,
    ReadNoise,
    RunningScale,
    SeparatePasses,
    SlopeCalibration,
    SpreadOutputNoise,
    Stage,
    StaticScale,
    VectorScale,
)

Value = TypeVar("Value", Tensor, Tensor | float)

_CHUNK_ELEMENTS = 1 << 21  # unfolded inputs at once: few calls, and memory stays small


def analog_product(
    x: Tensor,
    weights: Tensor,
    plan: ForwardPlan,
    *,
    product: LayerProduct | UnitVectorProduct = DENSE,
    instance: InstanceParameters = NO_SPREAD,
    generator: Randomness | None = None,
    static_scale: float | None = None,
    output_scale: Tensor | None = None,
    clipping: ClippingMeter | None = None,
    learner: RangeLearner | None = None,
) -> Tensor:
    """Return a tile's digital output for normalised inputs.

    A convolution runs natively where all its patches are converted alike, and is unfolded otherwise.

    Args:
        x: input vectors in rows, `[..., I]`; the feature map `[B, C, ...]` of a convolution, with channels
            last `[B, H, W, C]`; `[1, 1]` where the product is that of the unit vectors.
        weights: `[O, I]`, |w| = 1 is g_max; `[S, O, I]` gives each of S samples weights of its own.
        plan: the tile's stages.
        product: how inputs and weights are multiplied.
        instance: what the chip instance has drawn.
        generator: the stream of this call; needed when the plan draws noise.
        static_scale: the input scale of all vectors, in place of what noise management finds (AverageAbsMax).
        output_scale: digital factor of the result, `[]`, `[1]` or `[O]`; it may require a gradient.
        clipping: counts what the converters clip.
        learner: of the range of inputs that need no gradient; `path.FEW_INPUTS` can do the plan, and weights
            are `[O, I]`.

    Returns:
        `[..., O]`, or `[B, O, ...]` for a convolution with channels first, before the bias.

    Raises:
        ValueError: noise is to be drawn and there is no generator.
        NotImplementedError: the plan has a stage that has no step here.
    """
    _refuse_unknown(plan)
    if plan.draws_noise and generator is None:
        raise ValueError("this tile draws noise: pass the generator of the call's stream")
    scale = plan.static_scale if static_scale is None else static_scale
    way = path.choose(plan, product, x, scale=scale, weights_per_sample=weights.dim() > 2, clipping=clipping)
    if way in (Way.ROWS, Way.WHOLE_MAPS):
        call = MatVec(plan, product, instance, generator, clipping, learner)
        return call.output(x, weights, scale, output_scale)
    call = MatVec(plan, PATCHES, instance, generator, clipping)
    if isinstance(product, ChannelsLastProduct):
        first = with_channels_first(x)
        return with_channels_last(_by_patches(first, weights, product.first, call, way, scale, output_scale))
    if not isinstance(product, ConvProduct):
        raise TypeError(f"{type(product).__name__} has no patches")
    return _by_patches(x, weights, product, call, way, scale, output_scale)


def _by_patches(  # noqa: PLR0917 - a step of the function above
    x: Tensor,
    weights: Tensor,
    product: ConvProduct,
    call: MatVec,
    way: Way,
    scale: float | None,
    output_scale: Tensor | None,
) -> Tensor:
    """Run a convolution patch by patch, a few samples at a time."""
    positions = product.output_size(x)
    if way is Way.COMPILED_PATCHES:
        y = call.map_output(x, weights, product, output_scale)
        return y.reshape(*y.shape[:2], *positions)
    samples = max(1, _CHUNK_ELEMENTS // (math.prod(positions) * weights.shape[-1]))
    own_weights = weights.split(samples) if weights.dim() == 3 else repeat(weights)
    outputs = [
        call.output(product.unfold(part), part_weights, scale, output_scale)
        for part, part_weights in zip(x.split(samples), own_weights, strict=False)
    ]
    y = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return y.reshape(*y.shape[:2], *positions)


# --- stages with a function of their own; see `stages.py` for how to add one --------------------------------

Step = Callable[..., Tensor]
# An input stage: (call, stage, x) -> x. A current stage: (call, stage, y, x, weights) -> y, of one pass. An
# output stage: (call, stage, y) -> y. All in any layout; `call.product` knows where vectors and outputs lie.
STEPS: dict[type[Stage], Step] = {}

# Stages that `MatVec` knows by their types, since they act together.
WOVEN_IN: frozenset[type[Stage]] = frozenset(
    {
        StaticScale, VectorScale, RunningScale, Dac, DitheredDac, PerfectProduct, Crossbar, SeparatePasses,
        IrDrop, ReadNoise, OutputNoise, SpreadOutputNoise, Adc, DitheredAdc, BoundManagement, OutputScale,
    }
)  # fmt: skip

_PERFECT: frozenset[type[Stage]] = frozenset({PerfectProduct, OutputScale})


def _refuse_unknown(plan: ForwardPlan) -> None:
    if plan.verdicts.get("known"):
        return
    unknown = sorted(kind.__name__ for kind in plan.kinds - WOVEN_IN - STEPS.keys())
    if unknown:
        raise NotImplementedError(
            f"no step in simulator/tile/forward.py does the stages of a plan: {', '.join(unknown)}"
        )
    plan.verdicts["known"] = True


def _step_of(kind: type[Stage]) -> Callable[[Step], Step]:
    def register(step: Step) -> Step:
        STEPS[kind] = step
        return step

    return register


@_step_of(InputNoise)
def _add_input_noise(call: MatVec, stage: InputNoise, x: Tensor) -> Tensor:
    return x + normal_like(x, call.generator, stage.std)


@_step_of(InputAsymmetry)
def _weaken_negative_inputs(_: MatVec, stage: InputAsymmetry, x: Tensor) -> Tensor:
    return torch.where(x < 0, x * (1 - stage.strength), x)


@_step_of(OutputLine)
def _offset_and_resist(call: MatVec, stage: OutputLine, y: Tensor, x: Tensor, _: Tensor) -> Tensor:
    resistance = stage.resistance

    def saturate(current: Tensor) -> Tensor:
        return current / (1 + resistance * current.abs()) if resistance > 0 else current

    offset: Tensor | float = 0.0
    if call.instance.voltage_offset is not None:
        offset = call.product.per_output(call.instance.voltage_offset)
    if stage.reference_weight == 0:
        return (1 - offset) * saturate(y)
    reference = stage.reference_weight * call.product.sum_inputs(x)
    if resistance == 0:
        return (1 - offset) * y - 2 * offset * reference
    return (1 - offset) * saturate(y + reference) - (1 + offset) * saturate(reference)


@_step_of(Nonlinearity)
def _bend(call: MatVec, stage: Nonlinearity, y: Tensor) -> Tensor:
    slope: Tensor | float = stage.slope
    if call.instance.nonlinearity is not None:
        slope = call.product.per_output(call.instance.nonlinearity)
    return y / (1 + (slope * y).abs())


@_step_of(SlopeCalibration)
def _calibrate_slope(call: MatVec, stage: SlopeCalibration, y: Tensor) -> Tensor:
    own, common = call.instance.nonlinearity, call.plan.find(Nonlinearity)
    mean = float(own.mean()) if own is not None else 0.0 if common is None else common.slope
    return _times(y, stage.gain(mean))


@_step_of(OutputAsymmetry)
def _weaken_negative_outputs(_: MatVec, stage: OutputAsymmetry, y: Tensor) -> Tensor:
    return torch.where(y < 0, y * (1 - stage.strength), y)


# --- the whole ----------------------------------------------------------------------------------------------


@torch.no_grad()
def vector_scales(x: Tensor, scale: VectorScale, *, dim: int = -1) -> Tensor:
    """Return the scale that dynamic noise management gives each input vector; no gradient passes.

    Args:
        x: input vectors along `dim`, which has size 1 in the result.
        scale: how it is found.
        dim: where the vectors lie.
    """
    if scale.rule is NoiseManagementType.MAX:
        return x.amax(dim=dim, keepdim=True).clamp_(max=scale.threshold)
    maximum = x.abs().amax(dim=dim, keepdim=True).clamp_(max=scale.threshold)
    if scale.rule is not NoiseManagementType.ABS_MAX_NP_SUM:
        return maximum
    positive = x.clamp(min=0).sum(dim=dim, keepdim=True)
    negative = positive - x.sum(dim=dim, keepdim=True)
    bound_scale = torch.maximum(positive, negative) * scale.sum_factor
    if scale.most_maxima < math.inf:
        bound_scale = torch.minimum(bound_scale, maximum * scale.most_maxima)
    return torch.maximum(maximum, bound_scale)


@dataclass(frozen=True, slots=True)
class MatVec:
    """One call of a tile: the steps of a product, in the order of the methods.

    Attributes:
        plan: the stages.
        product: how inputs and weights are multiplied.
        instance: what the chip instance has drawn.
        generator: the call's stream.
        clipping: counts what the converters clip.
        learner: of the range of inputs that need no gradient.
    """

    plan: ForwardPlan
    product: Product
    instance: InstanceParameters
    generator: Randomness | None
    clipping: ClippingMeter | None = None
    learner: RangeLearner | None = None

    def output(
        self, x: Tensor, weights: Tensor, static_scale: float | None, output_scale: Tensor | None
    ) -> Tensor:
        """Return the scaled result."""
        plan = self.plan
        if plan.kinds <= _PERFECT:
            return _times(self.product(x, weights), self._digital(output_scale))
        if static_scale is not None and plan.bound_management is None:
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

    def map_output(
        self, x: Tensor, weights: Tensor, product: ConvProduct, output_scale: Tensor | None
    ) -> Tensor:
        """Return the result for a feature map whose patches are scaled by their maxima, `[B, O, L]`."""
        plan, read_noise = self.plan, self.plan.find(ReadNoise)
        digital, factor = self._digital_apart(output_scale)
        wanted = ReadNoiseInput.NONE
        if read_noise is not None:
            wanted = ReadNoiseInput.OF_CONDUCTANCES if read_noise.of_conductances else ReadNoiseInput.SQUARES
        found = patch_product(x, weights, product, step=plan.dac.step, noise_input=wanted)
        y, saturated = self._convert_outputs(found.y, found.noise_input, found.scales * digital)
        y = self._with_repeated(
            y,
            saturated,
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
        """Run vectors with scales of their own, and again those whose output saturated."""
        dim, scale = self.product.vector_dim, self.plan.vector_scale
        if static_scale is None and scale is not None:
            divisor, factor = self._usable(vector_scales(x, scale, dim=dim))
        else:
            known = 1.0 if static_scale is None else static_scale
            divisor = factor = x.new_full((1,) * x.dim(), known).expand(
                *(1 if axis == dim % x.dim() else size for axis, size in enumerate(x.shape))
            )
        fits = static_scale is None and self.plan.largest_input_fits
        y, saturated = self._run(self._convert_inputs(x, divisor, fits=fits), weights, factor * digital)
        return self._with_repeated(
            y,
            saturated,
            digital,
            x=x,
            weights=weights,
            divisor=divisor,
            factor=factor,
            vectors=self.product,
        )

    def _usable(self, scales: Tensor) -> tuple[Tensor, Tensor]:
        """Return the divisor of inputs and the factor of outputs; a scale of zero silences its vector."""
        positive = scales > 0
        divisor = torch.where(positive, scales, 1.0)
        if InputNoise in self.plan.kinds:
            return divisor, divisor
        return divisor, torch.where(positive, scales, 0.0)

    def _with_repeated(
        self,
        y: Tensor,
        saturated: Tensor | None,
        digital: Tensor | float,
        *,
        x: Tensor,
        weights: Tensor,
        divisor: Tensor,
        factor: Tensor,
        vectors: Product | ConvProduct,
    ) -> Tensor:
        """Replace the outputs of the vectors that saturated by those of bound management."""
        dim, management = self.product.vector_dim, self.plan.bound_management
        if saturated is None or management is None or management.max_factor < 1:
            return y
        positions = torch.nonzero(saturated & (factor > 0).squeeze(dim), as_tuple=True)
        if positions[0].numel() == 0:
            return y
        repeated = replace(self, product=DENSE).repeat_rows(
            management,
            vectors.vectors(x, positions),
            weights[positions[0]] if weights.dim() == 3 else weights,
            divisor.movedim(dim, -1).expand(*saturated.shape, 1)[positions],
        )
        if isinstance(digital, Tensor) and digital.numel() > 1:
            digital = digital.flatten()
        return y.movedim(dim, -1).index_put(positions, repeated * digital).movedim(-1, dim)

    def repeat_rows(
        self, management: BoundManagement, x_NI: Tensor, weights: Tensor, divisor_N1: Tensor
    ) -> Tensor:
        """Run the vectors that saturated again, scaled down, until their outputs fit."""
        reduction, unreduced = 1.0, management.first_unreduced
        divisor_N1 = divisor_N1.clone()
        y_NO = x_NI.new_zeros(())
        active = torch.arange(x_NI.shape[0], device=x_NI.device)
        while active.numel() and reduction <= management.max_factor:
            x_rows = x_NI[active]
            if not unreduced:
                reduction *= 2
            elif management.worst_case is not None:
                divisor_N1[active], _ = self._usable(vector_scales(x_rows, management.worst_case))
            unreduced = False
            scale = divisor_N1[active] * reduction
            own_weights = weights[active] if weights.dim() == 3 else weights
            y_rows, saturated = self._run(self._convert_inputs(x_rows, scale), own_weights, scale)
            y_NO = y_rows if y_NO.dim() == 0 else y_NO.index_copy(0, active, y_rows)
            active = active[torch.nonzero(saturated).squeeze(-1)] if saturated is not None else active[:0]
        return y_NO

    def _convert_inputs(self, x: Tensor, scale: Tensor | float, *, fits: bool = False) -> Tensor:
        """Inputs become voltages: scaled, converted by the DAC, and what the other input stages do.

        `fits` says that no scaled input is beyond the DAC's bound.
        """
        before, after = self.plan.around_dac
        if before:
            x, scale = normalise(x, scale, 0.0, math.inf), 1.0
            for stage in before:
                x = STEPS[type(stage)](self, stage, x)
        x = self._dac(x, scale, fits=fits)
        for stage in after:
            x = STEPS[type(stage)](self, stage, x)
        return x

    def _dac(self, x: Tensor, scale: Tensor | float, *, fits: bool) -> Tensor:
        """Scale, round, and clip unless all is known to fit."""
        dac = self.plan.dac
        dither = dither_like(x, self.generator) if isinstance(dac, DitheredDac) else None
        if self.clipping is not None:
            self.clipping.count_inputs(x / scale, dac.bound * TOP_CODE_SLACK)
        bound = math.inf if fits else dac.bound
        return normalise(x, scale, dac.step, bound, dither, dac.gradient_passes_from)

    def _run(self, x: Tensor, weights: Tensor, rescale: Tensor | float) -> tuple[Tensor, Tensor | None]:
        """Crossbar passes and ADC; also say which vectors saturated, None where none did."""
        passes = self.plan.passes
        if passes is None:
            return self._convert_outputs(*self._crossbar(x, weights), rescale)
        asymmetry = self.instance.read_asymmetry
        negative_weights = weights if asymmetry is None else weights * asymmetry
        y_negative, noise_negative = self._crossbar(x.clamp(max=0), negative_weights)
        y_positive, noise_positive = self._crossbar(x.clamp(min=0), weights)
        if passes.digital_sum:
            y_negative, saturated_negative = self._convert_outputs(y_negative, noise_negative, rescale)
            y_positive, saturated_positive = self._convert_outputs(y_positive, noise_positive, rescale)
            return y_negative + y_positive, _either(saturated_negative, saturated_positive)
        noise_input = None
        if noise_negative is not None and noise_positive is not None:
            noise_input = noise_negative + noise_positive
        return self._convert_outputs(y_negative + y_positive, noise_input, rescale)

    def _crossbar(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        """One pass: its currents, and what the variance of read noise grows with, sum x^2 or sum |w| x^2."""
        drop = self.plan.find(IrDrop)
        product = self.product
        y = product(x, weights) if drop is None else ir_drop.currents(x, weights, product, drop)
        if self.learner is not None and isinstance(self.product, LayerProduct):
            y = self.learner.attach(y, weights, self.product)
        noise_input = None
        for stage in self.plan.currents:
            if isinstance(stage, ReadNoise):
                noise_input = self._noise_input(stage, x, weights)
            elif not isinstance(stage, IrDrop):
                y = STEPS[type(stage)](self, stage, y, x, weights)
        return y, noise_input

    @torch.no_grad()
    def _noise_input(self, stage: ReadNoise, x: Tensor, weights: Tensor) -> Tensor:
        squared = x.detach().square()
        if stage.of_conductances:
            return self.product(squared, weights.detach().abs())
        return self.product.sum_inputs(squared)

    def _convert_outputs(
        self, y: Tensor, noise_input: Tensor | None, rescale: Tensor | float
    ) -> tuple[Tensor, Tensor | None]:
        """Output stages and ADC; Gaussians that no stage separates are drawn as one."""
        plan = self.plan
        out_noise: Tensor | float | None = None
        for stage in plan.outputs:
            if isinstance(stage, OutputNoise):
                own = self.instance.out_noise
                out_noise = stage.std if own is None else self.product.per_output(own)
                continue
            deviation = self._deviation(noise_input, out_noise)
            if deviation is not None:
                y, noise_input, out_noise = y + self._noise(y, deviation), None, None
            y = STEPS[type(stage)](self, stage, y)
        deviation = self._deviation(noise_input, out_noise)
        if path.converts_compiled(plan, y, self.clipping):
            return self._convert_compiled(y, deviation, rescale)
        return self._convert(y, None if deviation is None else self._noise(y, deviation), rescale)

    def _deviation(
        self, noise_input: Tensor | None, out_noise: Tensor | float | None
    ) -> Tensor | float | PooledNoise | None:
        """Return the deviation of read noise and output noise together."""
        read_noise = self.plan.find(ReadNoise)
        if noise_input is None or read_noise is None:
            return out_noise
        return PooledNoise(noise_input, read_noise.std**2, 0.0 if out_noise is None else out_noise**2)

    def _noise(self, y: Tensor, deviation: Tensor | float | PooledNoise) -> Tensor:
        """Draw the noise of outputs."""
        if isinstance(deviation, float):
            return normal_like(y, self.generator, deviation)
        factor = deviation.deviation() if isinstance(deviation, PooledNoise) else deviation
        return normal_like(y, self.generator).mul_(factor)

    def _convert_compiled(
        self, y: Tensor, deviation: Tensor | float | PooledNoise | None, rescale: Tensor | float
    ) -> tuple[Tensor, Tensor | None]:
        """What `_convert` does, in place of y, which nobody else holds."""
        adc, management = self.plan.adc, self.plan.bound_management
        conversion = OutputConversion(
            vector_dim=self.product.vector_dim,
            step=adc.step,
            bound=adc.bound,
            deviation=deviation,
            generator=self.generator,
            scale=rescale,
            finds_saturated=management is not None,
            tests_negative=management is None or management.tests_negative,
        )
        return convert_outputs(y, conversion), conversion.saturated

    def _convert(
        self, y: Tensor, noise: Tensor | None, rescale: Tensor | float
    ) -> tuple[Tensor, Tensor | None]:
        """The ADC: round, clip; then scale digitally."""
        adc, management = self.plan.adc, self.plan.bound_management
        dither = dither_like(y, self.generator) if isinstance(adc, DitheredAdc) else None
        saturated = None
        if management is not None:
            y, noise = y if noise is None else y + noise, None
            saturated = _saturated(y, dither, adc, management, self.product.vector_dim)
        if self.clipping is not None:
            self.clipping.count_outputs(y if noise is None else y + noise, adc.bound)
        learns = isinstance(rescale, Tensor) and rescale.requires_grad
        scale = 1.0 if learns else rescale
        converted = digitise(y, adc.step, adc.bound, noise=noise, dither=dither, scale=scale)
        return _times(converted, rescale) if learns else converted, saturated


def _either(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Return where one of two holds; None where none does."""
    return one if other is None else (other if one is None else one | other)


@torch.no_grad()
def _saturated(y: Tensor, dither: Tensor | None, adc: Adc, management: BoundManagement, dim: int) -> Tensor:
    """Which vectors have an output whose rounded value exceeds the bound."""
    rounded = round_(y.detach().clone(), adc.step, dither)
    beyond = rounded.abs_() if management.tests_negative else rounded
    return (beyond > adc.bound).any(dim=dim)


def _times(y: Value, factor: Tensor | float | None) -> Value:
    """Return the product, without an operation where it changes nothing."""
    return y if factor is None or (isinstance(factor, float) and factor == 1) else y * factor
