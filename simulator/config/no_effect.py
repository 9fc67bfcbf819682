"""Fields that have no effect as the others are: when, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.config.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightClipType,
    WeightModifierType,
    WeightNoiseType,
    WeightRemapType,
)
from simulator.config.rpu import InferenceRPUConfig

Condition = Callable[[InferenceRPUConfig], bool]


def is_perfect(c: InferenceRPUConfig) -> bool:
    """Return whether products are perfect: most of `forward` then has no effect."""
    return c.forward.is_perfect or c.forward.mv_type is AnalogMVType.IDEAL


def _one_pass(c: InferenceRPUConfig) -> bool:
    return c.forward.mv_type not in (
        AnalogMVType.POS_NEG_SEPARATE,
        AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
    )


def is_off(bound: float) -> bool:
    """Return whether a converter with this bound does not clip."""
    return bound <= 0 or bound == float("inf")


def _no_bound_management(c: InferenceRPUConfig) -> bool:
    return c.forward.bound_management is BoundManagementType.NONE or is_off(c.forward.out_bound)


def _no_limit_of_scales(c: InferenceRPUConfig) -> bool:
    is_sum = c.forward.noise_management is NoiseManagementType.ABS_MAX_NP_SUM
    return _no_dac(c) or (_no_bound_management(c) and not is_sum)


def _passes_differ_not(c: InferenceRPUConfig) -> bool:
    """Tell whether two passes that are summed before one ADC are one pass."""
    f = c.forward
    currents = f.w_read_asymmetry_dtod == 0 and f.ir_drop == 0 and f.v_offset_std == 0 and f.r_series == 0
    return f.mv_type is AnalogMVType.POS_NEG_SEPARATE and currents


def _no_dac(c: InferenceRPUConfig) -> bool:
    return c.forward.inp_res <= 0 or is_off(c.forward.inp_bound)


def no_adc(c: InferenceRPUConfig) -> bool:
    """Return whether the ADC does not round."""
    return c.forward.out_res <= 0 or is_off(c.forward.out_bound)


def _no_offset(c: InferenceRPUConfig) -> bool:
    return c.forward.v_offset_std == 0 and c.forward.r_series == 0


def _no_input_range(c: InferenceRPUConfig) -> bool:
    return not c.pre_post.input_range.enable


def _range_not_learned(c: InferenceRPUConfig) -> bool:
    return _no_input_range(c) or not c.pre_post.input_range.learn_input_range


def _no_worst_case_round(c: InferenceRPUConfig) -> bool:
    worst_case = c.forward.bound_management is BoundManagementType.ITERATIVE_WORST_CASE
    managed = c.forward.noise_management is not NoiseManagementType.NONE
    return not worst_case or not managed or _no_bound_management(c)


def _nm_without_threshold(c: InferenceRPUConfig) -> bool:
    management, forward = c.forward.noise_management, c.forward
    averages = management is NoiseManagementType.AVERAGE_ABS_MAX and _no_worst_case_round(c)
    return management is NoiseManagementType.NONE or averages or forward.nm_thres <= 0


def _nm_without_wmax(c: InferenceRPUConfig) -> bool:
    is_sum = c.forward.noise_management is NoiseManagementType.ABS_MAX_NP_SUM
    return not is_sum and _no_worst_case_round(c)


def _modifier_is_not(*kinds: WeightModifierType) -> Condition:
    return lambda c: c.modifier.type not in kinds


_DISCRETE = (
    WeightModifierType.DISCRETIZE,
    WeightModifierType.DISCRETIZE_ADD_NORMAL,
    WeightModifierType.DOREFA,
)
_NOISY = (
    WeightModifierType.ADD_NORMAL,
    WeightModifierType.MULT_NORMAL,
    WeightModifierType.DISCRETIZE_ADD_NORMAL,
    WeightModifierType.POLY,
    WeightModifierType.PROG_NOISE,
    WeightModifierType.PCM_NOISE,
)
_SCALED = (
    WeightModifierType.ADD_NORMAL,
    WeightModifierType.POLY,
    WeightModifierType.PROG_NOISE,
    WeightModifierType.PCM_NOISE,
    *_DISCRETE,
)
_PCM = (WeightModifierType.PCM_NOISE,)
_POLYNOMIAL = (WeightModifierType.POLY, WeightModifierType.PROG_NOISE)


def no_modifier(c: InferenceRPUConfig) -> bool:
    """Return whether the weight modifier leaves the weights as they are."""
    zeroes = c.modifier.type in _PCM and c.modifier.pcm_zero_thres > 0
    return not has_weight_noise(c) and not zeroes


def _nothing_discretised(c: InferenceRPUConfig) -> bool:
    return c.modifier.type not in _DISCRETE or c.modifier.res <= 0


def _no_polynomial(c: InferenceRPUConfig) -> bool:
    return c.modifier.type not in _POLYNOMIAL or c.modifier.std_dev == 0


def _no_reference_weight(c: InferenceRPUConfig) -> bool:
    """Tell whether nothing that the modifier does refers to a largest weight."""
    modifier = c.modifier
    if modifier.type in (*_PCM, WeightModifierType.DOREFA):
        return False
    discretises = modifier.type in _DISCRETE and modifier.res > 0
    return modifier.type not in _SCALED or (modifier.std_dev == 0 and not discretises)


def _no_remap(c: InferenceRPUConfig) -> bool:
    return c.remap.type is WeightRemapType.NONE


def _remap_without_range(c: InferenceRPUConfig) -> bool:
    return c.remap.type is not WeightRemapType.CHANNELWISE_SYMMETRIC


# Field -> (when it has no effect, why). A field is reported when it differs from its default.
NO_EFFECT: dict[str, tuple[Condition, str]] = {
    "forward.mv_type": (
        _passes_differ_not,
        "the sum of both passes is one pass without read asymmetry, IR drop, offsets and series resistance",
    ),
    "forward.out_asymmetry": (lambda c: c.forward.out_asymmetry < 0, "it is negative"),
    "forward.inp_sto_round": (_no_dac, "the DAC does not round (inp_res or inp_bound is off)"),
    "forward.out_sto_round": (no_adc, "the ADC does not round (out_res or out_bound is off)"),
    "forward.out_noise_std": (lambda c: c.forward.out_noise == 0, "out_noise is 0"),
    "forward.out_nonlinearity": (lambda c: c.forward.out_nonlinearity < 0, "it is negative"),
    "forward.out_nonlinearity_std": (
        lambda c: c.forward.out_nonlinearity <= 0,
        "out_nonlinearity is not positive",
    ),
    "forward.slope_calibration": (
        lambda c: (
            c.forward.slope_calibration < 0 or (c.forward.out_nonlinearity <= 0 and c.forward.r_series == 0)
        ),
        "it is negative, or neither out_nonlinearity nor r_series is positive",
    ),
    "forward.ir_drop_g_ratio": (lambda c: c.forward.ir_drop == 0, "ir_drop is 0"),
    "forward.v_offset_w_min": (_no_offset, "neither v_offset_std nor r_series is set"),
    "forward.w_read_asymmetry_dtod": (_one_pass, "it acts only with mv_type PosNegSeparate(DigitalSum)"),
    "forward.w_noise": (lambda c: c.forward.w_noise_type is WeightNoiseType.NONE, "w_noise_type is None"),
    "forward.w_noise_type": (lambda c: c.forward.w_noise == 0, "w_noise is 0"),
    "forward.bound_management": (lambda c: is_off(c.forward.out_bound), "out_bound is off"),
    "forward.max_bm_factor": (_no_bound_management, "bound management is off"),
    "forward.max_bm_res": (_no_limit_of_scales, "bound management (and AbsMaxNPSum) or the DAC is off"),
    "forward.bm_test_negative_bound": (_no_bound_management, "bound management is off"),
    "forward.nm_thres": (_nm_without_threshold, "the noise management type has no threshold"),
    "forward.nm_assumed_wmax": (
        _nm_without_wmax,
        "AbsMaxNPSum uses it, and IterativeWorstCase beside noise management",
    ),
    "forward.nm_decay": (
        lambda c: c.forward.noise_management is not NoiseManagementType.AVERAGE_ABS_MAX,
        "only AverageAbsMax uses it",
    ),
    "mapping.weight_scaling_columnwise": (
        lambda c: c.mapping.weight_scaling_omega == 0,
        "weight_scaling_omega is 0",
    ),
    "mapping.weight_scaling_lr_compensation": (
        lambda _: True,
        "training steps act on the logical weight, whatever its scale on the tile",
    ),
    "mapping.out_scaling_columnwise": (
        lambda c: not c.mapping.learn_out_scaling,
        "learn_out_scaling is false",
    ),
    "pre_post.input_range.learn_input_range": (_no_input_range, "input ranges are not enabled"),
    "pre_post.input_range.init_value": (_no_input_range, "input ranges are not enabled"),
    "pre_post.input_range.init_from_data": (_range_not_learned, "input ranges are not learned"),
    "pre_post.input_range.init_std_alpha": (
        lambda c: _range_not_learned(c) or c.pre_post.input_range.init_from_data == 0,
        "input ranges are not set from data",
    ),
    "pre_post.input_range.decay": (_range_not_learned, "input ranges are not learned"),
    "pre_post.input_range.input_min_percentage": (_range_not_learned, "input ranges are not learned"),
    "pre_post.input_range.gradient_scale": (_range_not_learned, "input ranges are not learned"),
    "pre_post.input_range.gradient_relative": (_range_not_learned, "input ranges are not learned"),
    "pre_post.input_range.manage_output_clipping": (_range_not_learned, "input ranges are not learned"),
    "pre_post.input_range.output_min_percentage": (
        lambda c: _range_not_learned(c) or not c.pre_post.input_range.manage_output_clipping,
        "manage_output_clipping is off",
    ),
    "modifier.std_dev": (_modifier_is_not(*_NOISY), "the modifier type has no noise"),
    "modifier.per_batch_sample": (no_modifier, "the modifier is off"),
    "modifier.enable_during_test": (no_modifier, "the modifier is off"),
    "modifier.copy_last_column": (no_modifier, "the modifier is off"),
    "modifier.res": (_nothing_discretised, "the modifier type does not discretise, or res is not positive"),
    "modifier.sto_round": (_nothing_discretised, "the modifier does not discretise"),
    "modifier.dorefa_clip": (_modifier_is_not(WeightModifierType.DOREFA), "the modifier type is not DoReFa"),
    "modifier.rel_to_actual_wmax": (_no_reference_weight, "the modifier has no reference weight"),
    "modifier.assumed_wmax": (
        lambda c: c.modifier.rel_to_actual_wmax or _no_reference_weight(c),
        "the modifier refers to the actual largest weight, or to none",
    ),
    "modifier.coeffs": (_no_polynomial, "the modifier type is not Poly or ProgNoise, or std_dev is 0"),
    "modifier.g_max": (
        lambda c: c.modifier.type is not WeightModifierType.PROG_NOISE or c.modifier.std_dev == 0,
        "only ProgNoise with std_dev > 0 depends on it (PCMNoise scales with it)",
    ),
    "modifier.pcm_zero_thres": (_modifier_is_not(*_PCM), "the modifier type is not PCMNoise"),
    "modifier.pcm_t_inference": (_modifier_is_not(*_PCM), "the modifier type is not PCMNoise"),
    "modifier.pcm_prob_at_reset": (_modifier_is_not(*_PCM), "the modifier type is not PCMNoise"),
    "modifier.pcm_prob_at_gmax": (_modifier_is_not(*_PCM), "the modifier type is not PCMNoise"),
    "modifier.pcm_prob_at_random": (_modifier_is_not(*_PCM), "the modifier type is not PCMNoise"),
    "modifier.pcm_t0": (_modifier_is_not(*_PCM), "the modifier type is not PCMNoise"),
    "clip.type": (
        lambda c: c.clip.type is WeightClipType.FIXED_VALUE and c.clip.fixed_value <= 0,
        "FixedValue needs fixed_value > 0",
    ),
    "clip.fixed_value": (
        lambda c: c.clip.type is WeightClipType.NONE or c.clip.fixed_value <= 0,
        "clip.type is None, or the value is not positive",
    ),
    "clip.sigma": (
        lambda c: c.clip.type is not WeightClipType.LAYER_GAUSSIAN,
        "clip.type is not LayerGaussian",
    ),
    "remap.remapped_wmax": (_no_remap, "remap.type is None"),
    "remap.max_scale_range": (_remap_without_range, "remap.type is not ChannelwiseSymmetric"),
    "remap.max_scale_ref": (
        lambda c: _remap_without_range(c) or c.remap.max_scale_range == 0,
        "remap.type is not ChannelwiseSymmetric, or max_scale_range is 0",
    ),
}

NoiseCondition = Callable[[Any], bool]


def _no_programming_noise(model: Any) -> bool:
    return bool(model.prog_noise_scale == 0)


def _no_drift(model: Any) -> bool:
    return bool(model.drift_scale == 0)


def _no_read_noise(model: Any) -> bool:
    return bool(model.read_noise_scale == 0)


def _no_time(model: Any) -> bool:
    return _no_drift(model) and _no_read_noise(model)


# Field of a noise model -> (when it has no effect, why), for the models that have the field.
NOISE_MODEL_NO_EFFECT: dict[str, tuple[NoiseCondition, str]] = {
    "prog_coeff": (_no_programming_noise, "prog_noise_scale is 0"),
    "prog_coeff_g_max_reference": (_no_programming_noise, "prog_noise_scale is 0"),
    "coeff_dict": (_no_programming_noise, "prog_noise_scale is 0"),
    "acceptance_range": (_no_programming_noise, "prog_noise_scale is 0"),
    "t_read": (_no_read_noise, "read_noise_scale is 0"),
    "read_dict": (_no_read_noise, "read_noise_scale is 0"),
    "t_0": (_no_time, "drift_scale and read_noise_scale are 0"),
    "drift_nu_mean": (_no_drift, "drift_scale is 0"),
    "drift_nu_std": (_no_drift, "drift_scale is 0"),
    "decay_dict": (_no_drift, "drift_scale is 0"),
    "coeff_dic": (lambda model: model.noise_scale == 0, "noise_scale is 0"),
    "coeff_g_max_reference": (lambda model: model.noise_scale == 0, "noise_scale is 0"),
}


def has_weight_noise(config: InferenceRPUConfig) -> bool:
    """Return whether the weight modifier disturbs the weights in training."""
    modifier = config.modifier
    strengths = [modifier.pdrop]
    if modifier.type in _DISCRETE:
        strengths.append(modifier.res)
    if modifier.type in _NOISY:
        strengths.append(modifier.std_dev)
    if modifier.type in _PCM:
        stuck = (modifier.pcm_prob_at_reset, modifier.pcm_prob_at_gmax, modifier.pcm_prob_at_random)
        strengths += [modifier.pcm_t_inference, *stuck]
    return max(strengths) > 0
