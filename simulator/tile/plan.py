"""The compiled plan of a tile's forward pass: what its configuration leaves to do, in plain numbers.

Reading a configuration object in the hot path costs time and hides what is computed. A plan is made once per
tile; steps that the configuration makes the identity are absent from it (None, 0 or False).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from simulator.config.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)
from simulator.config.io import IOParameters
from simulator.tile.converters import TOP_CODE_SLACK, top_code


def grid_step(resolution: float, bound: float) -> float:
    """Return the step of a converter's grid in float32, 0 when it does not quantise.

    Args:
        resolution: a fraction of the full range (0 < res <= 1) or a number of steps (res > 1); <= 0 is off.
        bound: half of the full range; an infinite or non-positive bound has no grid.
    """
    if resolution <= 0 or not 0 < bound < math.inf:
        return 0.0
    fraction = np.float32(1) / np.float32(resolution) if resolution > 1 else np.float32(resolution)
    return float(fraction * np.float32(2 * bound))


def _bound(value: float) -> float:
    """A bound as float32; non-positive ones, and those beyond float32, mean none."""
    if value <= 0 or value > float(np.finfo(np.float32).max):
        return math.inf
    return float(np.float32(value))


@dataclass(frozen=True, slots=True)
class TilePlan:
    """One analog matrix-vector product, ready to run. Values are in the tile's normalised units.

    Attributes:
        is_perfect: a plain product times `out_scale`; nothing else applies.
        management: how the scale of an input vector is found.
        static_scale: that scale when it is the same for all vectors, else None.
        scale_threshold: cap of the dynamic scales, infinite when absent.
        assumed_wmax: the weight maximum that AbsMaxNPSum assumes.
        average_decay: weight of the newest batch in AverageAbsMax.
        inp_bound: where the DAC clips, infinite when it does not.
        inp_step: the DAC's step, 0 without quantisation.
        inp_noise: standard deviation added to every converted input.
        inp_sto_round: whether the DAC rounds stochastically.
        inp_asymmetry: negative inputs are scaled by one minus this.
        separate_passes: negative and positive inputs run in passes of their own.
        digital_sum: each of these passes has its own ADC conversion.
        read_asymmetry_std: spread of the weights' factor for negative inputs (separate passes only).
        ir_drop: strength of the IR drop, 0 when absent.
        ir_drop_g_ratio: ratio of wire to physical device conductance.
        offset_std: standard deviation whose positive part is an output's voltage offset.
        reference_weight: weight units of the reference current per input, `-v_offset_w_min`.
        r_series: series resistance, 0 when absent.
        weight_noise: strength of the output-referred read noise, 0 when absent.
        weight_noise_pcm: read noise grows with sum |w| x^2 (PCMRead) instead of the input's norm.
        nonlinearity: slope of the output nonlinearity per output unit, 0 when absent.
        nonlinearity_std: its relative spread over outputs.
        slope_calibration: fraction of the out bound at which the gain is calibrated to one.
        out_asymmetry: negative outputs are scaled by one minus this.
        out_noise: standard deviation added before the ADC.
        out_noise_std: its relative spread over outputs.
        out_bound: where the ADC clips, infinite when it does not.
        out_step: the ADC's step, 0 without quantisation.
        out_sto_round: whether the ADC rounds stochastically.
        out_scale: digital factor of the result.
        manages_bounds: vectors whose output hit the bound are computed anew.
        worst_case_first: the second round uses the AbsMaxNPSum scale, and starts without a reduction.
        tests_negative_bound: a hit of the negative bound counts.
        max_bound_factor: bound management stops after a round with a larger factor.
        max_bm_res: limits AbsMaxNPSum's scale to this many DAC steps' worth of the absolute maximum.
        gradient_passes_from: inputs of this magnitude keep their gradient though the DAC clips them: they are
            at the end of an input range, which learns from it and withholds it from what comes before.
    """

    is_perfect: bool
    management: NoiseManagementType
    static_scale: float | None
    scale_threshold: float
    assumed_wmax: float
    average_decay: float
    inp_bound: float
    inp_step: float
    inp_noise: float
    inp_sto_round: bool
    inp_asymmetry: float
    separate_passes: bool
    digital_sum: bool
    read_asymmetry_std: float
    ir_drop: float
    ir_drop_g_ratio: float
    offset_std: float
    reference_weight: float
    r_series: float
    weight_noise: float
    weight_noise_pcm: bool
    nonlinearity: float
    nonlinearity_std: float
    slope_calibration: float
    out_asymmetry: float
    out_noise: float
    out_noise_std: float
    out_bound: float
    out_step: float
    out_sto_round: bool
    out_scale: float
    manages_bounds: bool
    worst_case_first: bool
    tests_negative_bound: bool
    max_bound_factor: float
    max_bm_res: float
    gradient_passes_from: float = math.inf

    @property
    def reference_bound(self) -> float:
        """The bound that AbsMaxNPSum, nonlinearity and slope calibration refer to; 1 where there is none."""
        return self.out_bound if self.out_bound < math.inf else 1.0

    @property
    def has_instance_parameters(self) -> bool:
        """Whether a chip instance has parameters of its own in the forward pass."""
        return not self.is_perfect and (
            self.offset_std > 0
            or (self.nonlinearity > 0 and self.nonlinearity_std > 0)
            or (self.out_noise > 0 and self.out_noise_std > 0)
            or (self.separate_passes and self.read_asymmetry_std > 0)
        )

    @property
    def draws_noise(self) -> bool:
        """Whether a forward pass needs random numbers."""
        return not self.is_perfect and (
            self.draws_at_inputs
            or self.weight_noise > 0
            or self.out_noise > 0
            or (self.out_sto_round and self.out_step > 0)
        )

    @property
    def draws_at_inputs(self) -> bool:
        """Whether the DAC draws noise or rounds at random."""
        return self.inp_noise > 0 or (self.inp_sto_round and self.inp_step > 0)

    @property
    def inputs_are_only_rounded(self) -> bool:
        """Whether the DAC scales, rounds and clips, and does nothing else."""
        return self.inp_asymmetry == 0 and not self.draws_at_inputs

    @property
    def currents_are_only_noisy(self) -> bool:
        """Whether the crossbar multiplies, with read noise at most, in one pass."""
        return not self.separate_passes and self.ir_drop == 0 and self.offset_std == 0 and self.r_series == 0

    @property
    def passes_inputs(self) -> bool:
        """Whether inputs go just as they are given into one product, and nowhere else."""
        return (
            not self.is_perfect
            and self.static_scale == 1
            and self.inp_step == 0
            and self.inp_bound == math.inf
            and self.inputs_are_only_rounded
            and not self.manages_bounds
            and not self.separate_passes
            and self.offset_std == 0
            and self.r_series == 0
        )

    @property
    def outputs_are_only_converted(self) -> bool:
        """Whether outputs get noise of one strength, are rounded, clipped and scaled, and nothing else."""
        return (
            self.weight_noise == 0
            and self.nonlinearity == 0
            and self.slope_calibration == 0
            and self.out_asymmetry == 0
            and self.out_noise_std == 0
            and not self.manages_bounds
            and not (self.out_sto_round and self.out_step > 0)
        )

    @property
    def is_static(self) -> bool:
        """Whether nothing happens between the inputs as they are given and outputs but what is left then."""
        return self.passes_inputs and self.ir_drop == 0 and self.outputs_are_only_converted

    @property
    def keeps_zeros(self) -> bool:
        """Whether an input of zero is converted to zero."""
        return self.is_perfect or not self.draws_at_inputs

    @property
    def converts_vectors_alone(self) -> bool:
        """Whether an input has to be converted for each vector that it belongs to, whatever the scale."""
        return self.manages_bounds or self.draws_at_inputs

    def converts_alike(self, scale: float | None) -> bool:
        """Whether an input is converted to the same for each vector that it belongs to, by this scale."""
        return self.is_perfect or (scale is not None and not self.converts_vectors_alone)

    @property
    def top_code_fits(self) -> bool:
        """Whether rounding an input within the DAC's bound never leaves it."""
        return top_code(self.inp_step, self.inp_bound) <= self.inp_bound * TOP_CODE_SLACK

    @property
    def largest_input_fits(self) -> bool:
        """Whether a vector that is divided by its own absolute maximum never leaves the DAC's bound."""
        return (
            self.management in (NoiseManagementType.ABS_MAX, NoiseManagementType.ABS_MAX_NP_SUM)
            and self.scale_threshold == math.inf
            and self.inp_bound >= 1
            and self.top_code_fits
            and not self.inp_sto_round
        )

    @property
    def passes_range(self) -> bool:
        """Whether the DAC clips no input that an input range has clipped and normalised."""
        if self.is_perfect or self.inp_bound == math.inf:
            return True
        if self.static_scale is not None:
            return self.inp_bound * self.static_scale >= 1
        divides_by_maximum = self.management in (
            NoiseManagementType.ABS_MAX,
            NoiseManagementType.ABS_MAX_NP_SUM,
        )
        return divides_by_maximum and self.scale_threshold == math.inf and self.inp_bound >= 1

    def after_input_range(self) -> tuple[TilePlan, float]:
        """Return the plan of a tile behind an input range, and the step that the range's own pass rounds to.

        Where every normalised input fits the DAC and is converted once, rounding belongs to that pass and
        there is nothing to clip.
        """
        converted_once = (
            not self.is_perfect
            and self.static_scale == 1
            and not self.manages_bounds
            and not self.inp_sto_round
            and self.inp_bound >= 1
            and self.top_code_fits
        )
        if not converted_once:
            return (self if self.passes_range else replace(self, gradient_passes_from=1.0)), 0.0
        return replace(self, inp_step=0.0, inp_bound=math.inf), self.inp_step


def compile_plan(forward: IOParameters, *, range_calibrated: bool = False) -> TilePlan:
    """Return the plan of a tile's forward pass.

    Args:
        forward: the configuration, validated; meanings are those of the aihwkit fields of the same names.
        range_calibrated: whether the tile is behind an input range that was calibrated: such a range takes
            the place of noise management.
    """
    management = NoiseManagementType.NONE if range_calibrated else forward.noise_management
    threshold = forward.nm_thres if management is not NoiseManagementType.NONE else 0.0
    static_scale = None
    if management is NoiseManagementType.NONE:
        static_scale = 1.0
    elif management is NoiseManagementType.CONSTANT:
        static_scale = float(np.float32(threshold)) if threshold > 0 else 1.0
    inp_bound, out_bound = _bound(forward.inp_bound), _bound(forward.out_bound)
    inp_step = grid_step(forward.inp_res, inp_bound)
    manages_bounds = forward.bound_management is not BoundManagementType.NONE and out_bound < math.inf
    noise_type = forward.w_noise_type
    mv_type = forward.mv_type
    separate = mv_type in (AnalogMVType.POS_NEG_SEPARATE, AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM)
    max_bound_factor = float(forward.max_bm_factor)
    if inp_step > 0:
        max_bound_factor = min(max_bound_factor, forward.max_bm_res / inp_step)
    return TilePlan(
        is_perfect=forward.is_perfect or mv_type is AnalogMVType.IDEAL,
        management=management,
        static_scale=static_scale,
        scale_threshold=float(np.float32(threshold)) if threshold > 0 else math.inf,
        assumed_wmax=forward.nm_assumed_wmax,
        average_decay=forward.nm_decay,
        inp_bound=inp_bound,
        inp_step=inp_step,
        inp_noise=max(forward.inp_noise, 0.0),
        inp_sto_round=forward.inp_sto_round,
        inp_asymmetry=forward.inp_asymmetry,
        separate_passes=separate,
        digital_sum=mv_type is AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
        read_asymmetry_std=max(forward.w_read_asymmetry_dtod, 0.0) if separate else 0.0,
        ir_drop=max(forward.ir_drop, 0.0),
        ir_drop_g_ratio=forward.ir_drop_g_ratio,
        offset_std=max(forward.v_offset_std, 0.0),
        reference_weight=-forward.v_offset_w_min,
        r_series=max(forward.r_series, 0.0),
        weight_noise=max(forward.w_noise, 0.0) if noise_type is not WeightNoiseType.NONE else 0.0,
        weight_noise_pcm=noise_type is WeightNoiseType.PCM_READ,
        nonlinearity=max(forward.out_nonlinearity, 0.0) / (out_bound if out_bound < math.inf else 1.0),
        nonlinearity_std=max(forward.out_nonlinearity_std, 0.0),
        slope_calibration=max(forward.slope_calibration, 0.0)
        if forward.out_nonlinearity > 0 or forward.r_series > 0
        else 0.0,
        out_asymmetry=max(forward.out_asymmetry, 0.0),
        out_noise=max(forward.out_noise, 0.0),
        out_noise_std=max(forward.out_noise_std, 0.0),
        out_bound=out_bound,
        out_step=grid_step(forward.out_res, out_bound),
        out_sto_round=forward.out_sto_round,
        out_scale=forward.out_scale,
        manages_bounds=manages_bounds,
        worst_case_first=forward.bound_management is BoundManagementType.ITERATIVE_WORST_CASE
        and management is not NoiseManagementType.ABS_MAX_NP_SUM,
        tests_negative_bound=forward.bm_test_negative_bound,
        max_bound_factor=max_bound_factor,
        max_bm_res=forward.max_bm_res,
    )
