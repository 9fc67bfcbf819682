"""The forward passes of a tile: in one step of autograd where that is possible, else step by step."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from simulator.rng import Purpose
from simulator.tile import (
    DENSE,
    ConvProduct,
    LayerProduct,
    OutputClipping,
    RangeLearner,
    UnitVectorProduct,
    analog_product,
    clip_to_range,
    converted_again,
    modify_weights,
    path,
    range_from_data,
)
from simulator.tile.fast.static import StaticPass
from simulator.tile.stages import RunningScale

if TYPE_CHECKING:
    from simulator.nn.tile.analog_tile import AnalogTile

_SAVE_ALL: AbstractContextManager[Any] = nullcontext()


def run_in_one_step(
    tile: AnalogTile, x: Tensor, logical: Tensor | None, product: LayerProduct, bias: Tensor | None
) -> Tensor:
    """Return what a tile behind an input range makes of its inputs.

    Args:
        tile: one whose setup suits one step.
        x: `[..., in]`, or the feature map `[B, C, ...]`.
        logical: the block of logical weights, `[out, ...]`; None where the tile reads its devices.
        product: how inputs and weights are multiplied.
        bias: `[out]`, what is added digitally; None for nothing.
    """
    setup, run, input_range = tile.setup, tile.static_pass, cast("Tensor", tile.input_range)
    if run is None or run.product is not product:
        run = StaticPass(setup.ranged_plan, product, setup.range_step, setup.rule)
        tile.static_pass = run
    if tile.training and tile.range_follows_data:
        _initialise_range(tile, x)
    stream = tile.call_stream(Purpose.FORWARD, x.device) if setup.plan.draws_noise else None
    chip = tile.chip
    if logical is None and chip is not None and not torch.is_grad_enabled():
        limit = input_range.item()
        laid_out, output_scale = run.prepared(
            chip.weights_OI,
            (tile.mapping_scale, chip.compensation),
            limit,
            lambda: cast("Tensor", tile.output_scale(learned=False)),
        )
        return run.evaluate(x, laid_out, limit, run.scale(output_scale, tile.out_scaling), bias, stream)
    weight_scale = None
    if logical is None or setup.modifies_weights:
        weights = _weights_for(tile, x, None if logical is None else logical.flatten(1))
    else:
        weights, weight_scale = logical, tile.mapping_scale
    output_scale = cast("Tensor", tile.output_scale(learned=False))  # it has the range
    return run(x, weights, input_range, tile.out_scaling, bias, weight_scale, output_scale, stream)


def run_in_steps(tile: AnalogTile, x: Tensor, logical_OI: Tensor | None, product: LayerProduct) -> Tensor:
    """Return what a tile makes of its inputs, without a digital bias; autograd notes each step.

    Args:
        tile: the tile.
        x: inputs, channels where the product has vectors.
        logical_OI: the block of logical weights; None where the tile reads its devices.
        product: how inputs and weights are multiplied.
    """
    setup, clipping, saving, learner = tile.setup, OutputClipping(), _SAVE_ALL, None
    input_range, rule = tile.input_range, setup.rule
    if input_range is not None:
        if tile.training:
            _initialise_range(tile, x)
        if tile.mode.clipping is not None:
            tile.mode.clipping.count_inputs(x, float(input_range) * (1 + 1e-6), again=True)
        given, learns = x, torch.is_grad_enabled() and setup.clips_inputs
        learner = _learner(tile, given, product, clipping) if learns else None
        clipped_at = input_range if learner is None else input_range.detach()
        if setup.clips_inputs:
            dac_clips = not setup.ranged_plan.passes_range
            x = clip_to_range(given, clipped_at, rule, clipping, setup.range_step, dac_clips=dac_clips)
        else:
            x = given / clipped_at
        if learns:
            saving = converted_again(x, given, input_range, setup.range_step)
        product = _with_bias_in_range(tile, product)
    manages_output_clipping = setup.manages_output_clipping
    with saving:
        y = analog_product(
            x,
            _weights_for(tile, x, logical_OI),
            setup.stages,
            product=product,
            instance=tile.instance_parameters(x.device),
            generator=tile.call_stream(Purpose.FORWARD, x.device) if setup.plan.draws_noise else None,
            static_scale=_average_scale(tile, x, product),
            output_scale=None if manages_output_clipping else tile.output_scale(),
            clipping=tile.mode.clipping,
            learner=learner,
        )
    if manages_output_clipping:
        bound = 0.999 * setup.plan.adc.bound * setup.plan.out_scale
        clipping.clipped_share = (y.detach().abs() >= bound).to(y.dtype).mean()
        scale = tile.output_scale()
        y = y if scale is None else y * product.per_output(scale)
    return y


def run_on_unit_vectors(tile: AnalogTile, weights_OI: Tensor) -> Tensor:
    """Return `[in, out]`: the response to each unit vector, through the tile's own noisy forward.

    Args:
        tile: the tile.
        weights_OI: on its crossbar.
    """
    plan, device, average = tile.plan, weights_OI.device, tile.running_average
    alone = path.UNIT_VECTORS.can(plan)
    unit_vectors = torch.eye(1 if alone else tile.in_features, device=device, dtype=weights_OI.dtype)
    stream = None
    if plan.draws_noise:
        stream = tile.context.read_stream(Purpose.COMPENSATION, tile.key, device=device)
    return analog_product(
        unit_vectors,
        weights_OI,
        plan,
        product=UnitVectorProduct(tile.in_features) if alone else DENSE,
        instance=tile.instance_parameters(device),
        generator=stream,
        static_scale=float(average) if average is not None and average > 0 else None,
    )


def _weights_for(tile: AnalogTile, x: Tensor, logical_OI: Tensor | None) -> Tensor:
    """The weights that a call multiplies with: modified in training, programmed in evaluation."""
    if logical_OI is None:
        if tile.chip is None:
            raise RuntimeError("the tile was not programmed: pass its logical weights")
        return tile.chip.weights_OI
    weights = tile.target_weights(logical_OI)
    modifier = tile.rpu_config.modifier
    if not tile.setup.modifies_weights or not (tile.training or modifier.enable_during_test):
        return weights
    samples = x.shape[0] if modifier.per_batch_sample and x.dim() > 1 else None
    stream = tile.call_stream(Purpose.MODIFIER, x.device)
    return modify_weights(weights, modifier, stream.open(), samples, tile.modifier_strength)


# --- behind an input range ----------------------------------------------------------------------------------


def _initialise_range(tile: AnalogTile, x: Tensor) -> None:
    """Let the range follow the data in the first training batches."""
    rule, input_range = tile.setup.rule, tile.input_range
    if not tile.range_follows_data or tile.batches_seen is None or input_range is None:
        return
    seen = int(tile.batches_seen)
    if seen >= rule.init_from_data:
        tile.range_follows_data = False
        return
    with torch.no_grad():
        input_range.copy_(range_from_data(input_range, x.detach(), seen, rule.init_std_alpha))
        tile.batches_seen += 1


def _learner(
    tile: AnalogTile, x: Tensor, product: LayerProduct, clipping: OutputClipping
) -> RangeLearner | None:
    """What learns the range where the inputs need no gradient, if that is quicker than finding theirs."""
    setup, input_range = tile.setup, tile.input_range
    if input_range is None or not input_range.requires_grad or x.requires_grad:
        return None
    if not path.learns_from_few_inputs(
        setup.ranged_plan, product, weights_per_sample=setup.modifies_per_sample
    ):
        return None
    learner = RangeLearner(x, input_range, setup.rule, clipping)
    return learner if learner.pays else None


def _with_bias_in_range(tile: AnalogTile, product: LayerProduct) -> LayerProduct:
    """Clip and normalise the input of a convolution's analog bias column as every other input."""
    setup, input_range = tile.setup, tile.input_range
    if not isinstance(product, ConvProduct) or product.bias_input is None or input_range is None:
        return product
    with torch.no_grad():
        if setup.clips_inputs:
            bias_input = clip_to_range(product.bias_input, input_range, setup.rule, step=setup.range_step)
        else:
            bias_input = product.bias_input / input_range
    return replace(product, bias_input=bias_input)


# --- the running mean that scales inputs (AverageAbsMax) ----------------------------------------------------


def _average_scale(tile: AnalogTile, x: Tensor, product: LayerProduct) -> float | None:
    """The running mean of the vectors' absolute maxima; learned only in training."""
    average, scale = tile.running_average, tile.plan.find(RunningScale)
    if average is None or scale is None:
        return None
    if tile.training:
        newest = product.largest_inputs(x.detach()).mean()
        decay = scale.decay
        average.copy_(torch.where(average > 0, (1 - decay) * average + decay * newest, newest))
    value = float(average)
    return value if value > 0 else None  # nothing learned yet: each vector has its own maximum
