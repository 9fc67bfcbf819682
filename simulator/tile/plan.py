"""The forward plan of a tile: the stages that its configuration leaves to do, in physical order.

Reading a configuration object in the hot path costs time and hides what is computed. A plan is made once per
tile; a stage that the configuration makes the identity is absent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from simulator.config.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)
from simulator.config.io import IOParameters
from simulator.tile.stages import (
    NO_ADC,
    NO_DAC,
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
    Phase,
    ReadNoise,
    RunningScale,
    SeparatePasses,
    SlopeCalibration,
    SpreadOutputNoise,
    Stage,
    StaticScale,
    VectorScale,
)

Kind = TypeVar("Kind", bound=Stage)


@dataclass(frozen=True)
class ForwardPlan:
    """One analog matrix-vector product, ready to run.

    Attributes:
        stages: what happens, in physical order.
        verdicts: what `path.py` has found out about the plan.

    Raises:
        ValueError: the stages are not in the order of their phases, or have no product, or several.
    """

    stages: tuple[Stage, ...]
    verdicts: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        phases = [stage.phase for stage in self.stages]
        if phases != sorted(phases) or phases.count(Phase.CROSSBAR) != 1:
            names = ", ".join(type(stage).__name__ for stage in self.stages)
            raise ValueError(f"stages must be in physical order, around one product, not {names}")

    @cached_property
    def kinds(self) -> frozenset[type[Stage]]:
        """The types of the stages."""
        return frozenset(map(type, self.stages))

    @cached_property
    def _by_kind(self) -> dict[type, Stage]:
        return {kind: stage for stage in reversed(self.stages) for kind in type(stage).__mro__}

    def find(self, kind: type[Kind]) -> Kind | None:
        """Return the first stage of a type, or of a type below it; None where there is none."""
        return self._by_kind.get(kind)  # type: ignore[return-value]

    def of_phase(self, phase: Phase) -> tuple[Stage, ...]:
        """Return the stages of a phase."""
        return tuple(stage for stage in self.stages if stage.phase is phase)

    @cached_property
    def inputs(self) -> tuple[Stage, ...]:
        """The stages between scale and crossbar."""
        return self.of_phase(Phase.INPUT)

    @cached_property
    def around_dac(self) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
        """The input stages before the DAC, and those after it; all are after it where there is none."""
        if self.find(Dac) is None:
            return (), self.inputs
        index = self.inputs.index(self.dac)
        return self.inputs[:index], self.inputs[index + 1 :]

    @cached_property
    def currents(self) -> tuple[Stage, ...]:
        """The stages of a pass."""
        return self.of_phase(Phase.CURRENT)

    @cached_property
    def outputs(self) -> tuple[Stage, ...]:
        """The stages between crossbar and ADC."""
        return self.of_phase(Phase.OUTPUT)

    @cached_property
    def dac(self) -> Dac:
        """The DAC; one that does nothing where there is none."""
        return self.find(Dac) or NO_DAC

    @cached_property
    def adc(self) -> Adc:
        """The ADC; one that does nothing where there is none."""
        return self.find(Adc) or NO_ADC

    @cached_property
    def bound_management(self) -> BoundManagement | None:
        """What vectors that saturate the ADC run again for."""
        return self.find(BoundManagement)

    @cached_property
    def passes(self) -> SeparatePasses | None:
        """How negative and positive voltages are separated; None for one pass."""
        return self.find(SeparatePasses)

    @cached_property
    def vector_scale(self) -> VectorScale | None:
        """How the scale of each vector is found; None where all have the same."""
        return self.find(VectorScale)

    @cached_property
    def static_scale(self) -> float | None:
        """The scale of all vectors; None where each has its own."""
        if self.vector_scale is not None:
            return None
        scale = self.find(StaticScale)
        return 1.0 if scale is None else scale.value

    @cached_property
    def out_scale(self) -> float:
        """The digital factor of the outputs."""
        scale = self.find(OutputScale)
        return 1.0 if scale is None else scale.factor

    @cached_property
    def is_perfect(self) -> bool:
        """Whether the product is a perfect one."""
        return PerfectProduct in self.kinds

    @cached_property
    def draws_noise(self) -> bool:
        """Whether a forward pass needs random numbers."""
        return any(stage.draws_noise for stage in self.stages)

    @cached_property
    def differs_between_instances(self) -> bool:
        """Whether a chip instance has parameters of its own in the forward pass."""
        return any(stage.differs_between_instances for stage in self.stages)

    @cached_property
    def largest_input_fits(self) -> bool:
        """Whether a vector that is divided by its own scale never leaves the DAC's bound."""
        dac, scale = self.dac, self.vector_scale
        return (
            scale is not None
            and scale.divides_by_maximum
            and self._dac_is_first
            and dac.bound >= 1
            and dac.top_code_fits
            and not isinstance(dac, DitheredDac)
        )

    @cached_property
    def _dac_is_first(self) -> bool:
        """Whether nothing happens to scaled inputs before the DAC."""
        return not self.around_dac[0]

    @cached_property
    def passes_range(self) -> bool:
        """Whether the DAC clips no input that an input range has clipped and normalised."""
        dac = self.dac
        if dac.bound == math.inf:
            return True
        if not self._dac_is_first:
            return False
        if self.static_scale is not None:
            return dac.bound * self.static_scale >= 1
        scale = self.vector_scale
        return scale is not None and scale.divides_by_maximum and dac.bound >= 1

    def after_input_range(self) -> tuple[ForwardPlan, float]:
        """Return the plan of a tile behind an input range, and the step that the range's own pass rounds to.

        Where every normalised input fits the DAC and is converted once, rounding belongs to that pass and
        there is nothing to clip.
        """
        dac = self.dac
        converted_once = (
            type(dac) is Dac
            and self._dac_is_first
            and self.static_scale == 1
            and not self.of_phase(Phase.REPETITION)
            and dac.bound >= 1
            and dac.top_code_fits
        )
        if converted_once:
            return self.without(Dac), dac.step
        if self.passes_range:
            return self, 0.0
        return self.exchange(dac, replace(dac, gradient_passes_from=1.0)), 0.0

    def without(self, *kinds: type[Stage]) -> ForwardPlan:
        """Return the plan without stages of these types."""
        return ForwardPlan(tuple(stage for stage in self.stages if not isinstance(stage, kinds)))

    def exchange(self, old: Stage, new: Stage) -> ForwardPlan:
        """Return the plan with another stage in the place of one."""
        return ForwardPlan(tuple(new if stage is old else stage for stage in self.stages))

    def perfect(self, *, scaled: bool = True) -> ForwardPlan:
        """Return the plan of a perfect product, with the digital factor of the outputs or without."""
        digital = self.of_phase(Phase.DIGITAL) if scaled else ()
        return ForwardPlan((PerfectProduct(), *digital))


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


def compile_plan(forward: IOParameters, *, range_calibrated: bool = False) -> ForwardPlan:
    """Return the plan of a tile's forward pass.

    Args:
        forward: the configuration, validated; meanings are those of the aihwkit fields of the same names.
        range_calibrated: whether the tile is behind an input range that was calibrated: such a range takes
            the place of noise management.
    """
    out_scale = [OutputScale(forward.out_scale)] if forward.out_scale != 1 else []
    if forward.is_perfect or forward.mv_type is AnalogMVType.IDEAL:
        return ForwardPlan((PerfectProduct(), *out_scale))
    management = NoiseManagementType.NONE if range_calibrated else forward.noise_management
    return ForwardPlan(
        (
            *_scale_stages(forward, management),
            *_input_stages(forward),
            _crossbar(forward),
            *_current_stages(forward),
            *_output_stages(forward),
            *_converter_stages(forward, management),
            *out_scale,
        )
    )


def _scale_stages(forward: IOParameters, management: NoiseManagementType) -> Iterable[Stage]:
    if management is NoiseManagementType.NONE:
        return
    if management is NoiseManagementType.CONSTANT:
        value = float(np.float32(forward.nm_thres)) if forward.nm_thres > 0 else 1.0
        if value != 1:
            yield StaticScale(value)
        return
    scale = _vector_scale(forward, management)
    if management is NoiseManagementType.AVERAGE_ABS_MAX:
        yield RunningScale(
            scale.rule, scale.threshold, scale.sum_factor, scale.most_maxima, decay=forward.nm_decay
        )
    else:
        yield scale


def _vector_scale(forward: IOParameters, rule: NoiseManagementType) -> VectorScale:
    step = _dac(forward).step
    return VectorScale(
        rule=rule,
        threshold=float(np.float32(forward.nm_thres)) if forward.nm_thres > 0 else math.inf,
        sum_factor=forward.nm_assumed_wmax / _reference_bound(forward),
        most_maxima=forward.max_bm_res / step if step > 0 else math.inf,
    )


def _reference_bound(forward: IOParameters) -> float:
    """The bound that AbsMaxNPSum, nonlinearity and slope calibration refer to; 1 where there is none."""
    bound = _bound(forward.out_bound)
    return bound if bound < math.inf else 1.0


def _dac(forward: IOParameters) -> Dac:
    bound = _bound(forward.inp_bound)
    step = grid_step(forward.inp_res, bound)
    return (DitheredDac if forward.inp_sto_round and step > 0 else Dac)(bound, step)


def _input_stages(forward: IOParameters) -> Iterable[Stage]:
    dac = _dac(forward)
    if dac != NO_DAC:
        yield dac
    if forward.inp_noise > 0:
        yield InputNoise(forward.inp_noise)
    if forward.inp_asymmetry != 0:
        yield InputAsymmetry(forward.inp_asymmetry)


def _crossbar(forward: IOParameters) -> Stage:
    digital_sum = forward.mv_type is AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM
    if forward.mv_type is AnalogMVType.POS_NEG_SEPARATE or digital_sum:
        return SeparatePasses(digital_sum, max(forward.w_read_asymmetry_dtod, 0.0))
    return Crossbar()


def _current_stages(forward: IOParameters) -> Iterable[Stage]:
    if forward.ir_drop > 0:
        yield IrDrop(forward.ir_drop, forward.ir_drop_g_ratio)
    if forward.v_offset_std > 0 or forward.r_series > 0:
        yield OutputLine(max(forward.v_offset_std, 0.0), max(forward.r_series, 0.0), -forward.v_offset_w_min)
    if forward.w_noise > 0 and forward.w_noise_type is not WeightNoiseType.NONE:
        yield ReadNoise(forward.w_noise, forward.w_noise_type is WeightNoiseType.PCM_READ)


def _output_stages(forward: IOParameters) -> Iterable[Stage]:
    bound, resistance = _reference_bound(forward), max(forward.r_series, 0.0)
    slope = max(forward.out_nonlinearity, 0.0) / bound
    if slope > 0:
        yield Nonlinearity(slope, max(forward.out_nonlinearity_std, 0.0))
    if forward.slope_calibration > 0 and (forward.out_nonlinearity > 0 or forward.r_series > 0):
        calibration = SlopeCalibration(resistance, forward.slope_calibration, bound)
        if slope > 0 or calibration.gain(0.0) != 1:
            yield calibration
    if forward.out_asymmetry > 0:
        yield OutputAsymmetry(forward.out_asymmetry)
    if forward.out_noise > 0:
        spread = max(forward.out_noise_std, 0.0)
        yield SpreadOutputNoise(forward.out_noise, spread) if spread > 0 else OutputNoise(forward.out_noise)


def _converter_stages(forward: IOParameters, management: NoiseManagementType) -> Iterable[Stage]:
    bound = _bound(forward.out_bound)
    step = grid_step(forward.out_res, bound)
    adc = (DitheredAdc if forward.out_sto_round and step > 0 else Adc)(bound, step)
    if adc != NO_ADC:
        yield adc
    kind = forward.bound_management
    if kind is BoundManagementType.NONE or bound == math.inf:
        return
    inp_step = _dac(forward).step
    max_factor = float(forward.max_bm_factor)
    worst_case_first = (
        kind is BoundManagementType.ITERATIVE_WORST_CASE
        and management is not NoiseManagementType.ABS_MAX_NP_SUM
    )
    has_worst_case = worst_case_first and management is not NoiseManagementType.NONE
    yield BoundManagement(
        max_factor=min(max_factor, forward.max_bm_res / inp_step) if inp_step > 0 else max_factor,
        tests_negative=forward.bm_test_negative_bound,
        first_unreduced=worst_case_first,
        worst_case=_vector_scale(forward, NoiseManagementType.ABS_MAX_NP_SUM) if has_worst_case else None,
    )
