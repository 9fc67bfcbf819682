"""Combinations that are valid but hardly meant: set fields that have no effect, and doubtful defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from simulator.config.faults import ConfigWarning, leaf_fields, pointer_to
from simulator.config.measured import MeasuredNoiseModel
from simulator.config.noise_models import HermesNoiseModel, PCMLikeNoiseModel, ReRamWan2022NoiseModel
from simulator.config.plausible import implausible_values
from simulator.config.rpu import InferenceRPUConfig
from simulator.config.training import FinetuneSpec, StepSchedule

Condition = Callable[[InferenceRPUConfig], bool]

_WAN_PUBLISHED_TIMES_S = (1.0, 86400.0, 172800.0)
_WAN_REFERENCE_US = 40.0
_DEFAULT_OUT_NOISE = 0.06


def _is_perfect(c: InferenceRPUConfig) -> bool:
    return c.forward.is_perfect or c.forward.mv_type is AnalogMVType.IDEAL


def _one_pass(c: InferenceRPUConfig) -> bool:
    return c.forward.mv_type not in (
        AnalogMVType.POS_NEG_SEPARATE,
        AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
    )


def _is_off(bound: float) -> bool:
    return bound <= 0 or bound == float("inf")


def _no_bound_management(c: InferenceRPUConfig) -> bool:
    return c.forward.bound_management is BoundManagementType.NONE or _is_off(c.forward.out_bound)


def _no_limit_of_scales(c: InferenceRPUConfig) -> bool:
    is_sum = c.forward.noise_management is NoiseManagementType.ABS_MAX_NP_SUM
    return _no_dac(c) or (_no_bound_management(c) and not is_sum)


def _passes_differ_not(c: InferenceRPUConfig) -> bool:
    """Tell whether two passes that are summed before one ADC are one pass."""
    f = c.forward
    currents = f.w_read_asymmetry_dtod == 0 and f.ir_drop == 0 and f.v_offset_std == 0 and f.r_series == 0
    return f.mv_type is AnalogMVType.POS_NEG_SEPARATE and currents


def _no_dac(c: InferenceRPUConfig) -> bool:
    return c.forward.inp_res <= 0 or _is_off(c.forward.inp_bound)


def _no_adc(c: InferenceRPUConfig) -> bool:
    return c.forward.out_res <= 0 or _is_off(c.forward.out_bound)


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


def _no_modifier(c: InferenceRPUConfig) -> bool:
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
    "forward.out_sto_round": (_no_adc, "the ADC does not round (out_res or out_bound is off)"),
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
    "forward.bound_management": (lambda c: _is_off(c.forward.out_bound), "out_bound is off"),
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
    "modifier.per_batch_sample": (_no_modifier, "the modifier is off"),
    "modifier.enable_during_test": (_no_modifier, "the modifier is off"),
    "modifier.copy_last_column": (_no_modifier, "the modifier is off"),
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


def _noise_scales_with_g_max(model: Any) -> bool:
    if isinstance(model, ReRamWan2022NoiseModel):
        return model.coeff_dic is None or model.coeff_g_max_reference is not None
    relative = isinstance(model, PCMLikeNoiseModel | HermesNoiseModel)
    return relative and (model.prog_coeff is None or model.prog_coeff_g_max_reference is not None)


# Field of a noise model -> (when it has no effect, why), for the models that have the field.
NOISE_MODEL_NO_EFFECT: dict[str, tuple[NoiseCondition, str]] = {
    "device_state": (
        lambda model: isinstance(model, ReRamWan2022NoiseModel),
        "this model draws the conductances of every time from the targets",
    ),
    "g_max": (_noise_scales_with_g_max, "the noise of this model scales with g_max"),
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
# The parts of a measured model that are left out leave their scales nothing to scale.
_MEASURED_SCALES = {"prog_noise_scale": "programming", "drift_scale": "drift", "read_noise_scale": "read"}


def _is_idle(dotted: str, c: InferenceRPUConfig) -> bool:
    """Tell whether a field has no effect with any value: a default is idle without being set."""
    if dotted.startswith("forward.") and dotted not in _KEPT_BY_PERFECT and _is_perfect(c):
        return True
    converters = {
        "forward.inp_res": _is_off(c.forward.inp_bound),
        "forward.out_res": _is_off(c.forward.out_bound),
    }
    return converters.get(dotted, False) or (dotted in NO_EFFECT and NO_EFFECT[dotted][0](c))


def _acts_before_programming_alone(c: InferenceRPUConfig) -> bool:
    return c.modifier.enable_during_test and not _no_modifier(c)


def _step_of_outputs(c: InferenceRPUConfig) -> float:
    """The ADC's step, in units of what one device of |w| = 1 gives at input 1."""
    res = c.forward.out_res
    return 0.0 if _no_adc(c) or _is_perfect(c) else 2 * c.forward.out_bound * (1 / res if res > 1 else res)


def _readout_is_below_a_code(c: InferenceRPUConfig) -> bool:
    """Tell whether one step is more than the largest weight, so that single weights are rounded away."""
    largest = c.mapping.weight_scaling_omega or 1.0
    return c.drift_compensation is not None and _step_of_outputs(c) > largest


def _refers_to_another_g_max_than_the_reference(c: InferenceRPUConfig) -> bool:
    model = c.noise_model
    return (
        isinstance(model, ReRamWan2022NoiseModel)
        and model.coeff_dic is None
        and model.coeff_g_max_reference is None
        and model.effective_g_max_us != _WAN_REFERENCE_US
    )


# Where it is said, its code, when it holds, what is said.
DOUBTFUL: tuple[tuple[str, str, Condition, Callable[[InferenceRPUConfig], str]], ...] = (
    (
        "/modifier/enable_during_test",
        "no_effect_once_programmed",
        _acts_before_programming_alone,
        lambda _: (
            "modifier.enable_during_test acts on models that are not programmed; an evaluation on chips "
            "reads what was programmed, so it changes nothing there. For weights of few bits, finitely many "
            "conductances or stuck devices set noise_model.states, stuck_at_zero and stuck_at_max"
        ),
    ),
    (
        "/drift_compensation",
        "coarse_readout",
        _readout_is_below_a_code,
        lambda c: (
            f"drift compensation reads single weights through the ADC, whose step of "
            f"{_step_of_outputs(c):.3g} is more than the largest weight, "
            f"{c.mapping.weight_scaling_omega or 1.0:g}: the factor is rounding and noise. Give the ADC more "
            "steps or a smaller out_bound, or set drift_compensation to null"
        ),
    ),
    (
        "/noise_model",
        "deviates",
        _refers_to_another_g_max_than_the_reference,
        lambda _: (
            f"the published polynomial of Wan et al. refers to g_max = {_WAN_REFERENCE_US:g} uS and is "
            "scaled to yours here; aihwkit 1.2.0 applies it unscaled (quirk 41), so that its noise is "
            "stronger and its accuracy lower, by up to 17 points where we compared"
        ),
    ),
)

# A perfect product still has these.
_KEPT_BY_PERFECT = frozenset({"forward.is_perfect", "forward.mv_type", "forward.out_scale"})


def warnings_for(config: InferenceRPUConfig) -> list[ConfigWarning]:
    """Return what is doubtful about a configuration.

    That is: fields without effect (`no_effect`, and `no_effect_once_programmed`), values that say something
    else than was probably meant (`implausible_value`), readouts for drift compensation that the ADC rounds
    away (`coarse_readout`), presets that differ much from the reference (`deviates`), and the default of the
    output noise (`default_out_noise`).
    """
    found = []
    for dotted, value, default in leaf_fields(config):
        if value == default:
            continue
        if dotted.startswith("forward.") and dotted not in _KEPT_BY_PERFECT and _is_perfect(config):
            found.append(_no_effect(dotted, "the product is perfect (is_perfect or mv_type Ideal)"))
        elif dotted in NO_EFFECT and NO_EFFECT[dotted][0](config):
            found.append(_no_effect(dotted, NO_EFFECT[dotted][1]))
    found += _noise_model_warnings(config.noise_model)
    idle = {one.pointer for one in found}
    found += [
        ConfigWarning(pointer_to(dotted), "implausible_value", message)
        for dotted, message in implausible_values(config)
        if pointer_to(dotted) not in idle and not _is_idle(dotted, config)
    ]
    found += [
        ConfigWarning(pointer, code, message(config))
        for pointer, code, doubtful, message in DOUBTFUL
        if doubtful(config)
    ]
    if config.forward.out_noise == _DEFAULT_OUT_NOISE and not _is_perfect(config):
        message = "forward.out_noise is the reference's default 0.06: set what your ADC has"
        found.append(ConfigWarning("/forward/out_noise", "default_out_noise", message))
    return found


def _noise_model_warnings(model: Any) -> list[ConfigWarning]:
    found = []
    for name, field in type(model).model_fields.items():
        default = field.get_default(call_default_factory=True)
        if name == "g_max":  # it may depend on other fields
            default = getattr(model, "default_g_max_us", default)
        if getattr(model, name) in (default, None) or name == "type":
            continue
        dotted = f"noise_model.{name}"
        if isinstance(model, MeasuredNoiseModel) and name in _MEASURED_SCALES:
            part = _MEASURED_SCALES[name]
            if getattr(model, part) is None:
                found.append(_no_effect(dotted, f"noise_model.{part} is left out"))
        elif name in NOISE_MODEL_NO_EFFECT and NOISE_MODEL_NO_EFFECT[name][0](model):
            found.append(_no_effect(dotted, NOISE_MODEL_NO_EFFECT[name][1]))
    return found


def _no_effect(dotted: str, why: str) -> ConfigWarning:
    return ConfigWarning(pointer_to(dotted), "no_effect", f"{dotted} has no effect: {why}")


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


def training_warnings(config: InferenceRPUConfig) -> list[ConfigWarning]:
    """Return what is doubtful about fine-tuning with this configuration (`hwa_without_weight_noise`)."""
    if has_weight_noise(config):
        return []
    message = "fine-tuning without weight noise hardly makes a network robust: set modifier, e.g. AddNormal"
    return [ConfigWarning("/modifier/type", "hwa_without_weight_noise", message)]


def finetune_warnings(spec: FinetuneSpec, configs: Iterable[InferenceRPUConfig]) -> list[ConfigWarning]:
    """Return which options of a fine-tuning have no effect (`no_effect`).

    Args:
        spec: the fine-tuning; pointers are relative to it.
        configs: of all layers that are trained on analog tiles; none where training is digital.
    """
    found = []
    if spec.noise_ramp_epochs and not any(has_weight_noise(config) for config in configs):
        message = "noise_ramp_epochs has no effect: no layer is trained with weight noise (see modifier)"
        found.append(ConfigWarning("/noise_ramp_epochs", "no_effect", message))
    schedule = spec.scheduler
    if isinstance(schedule, StepSchedule) and schedule.step_size >= spec.epochs:
        message = f"the learning rate stays: step_size {schedule.step_size} is not less than epochs"
        found.append(ConfigWarning("/scheduler/step_size", "no_effect", message))
    stopping = spec.early_stopping
    if stopping is not None and stopping.patience >= spec.epochs:
        message = (
            f"training never stops early: patience {stopping.patience} is not less than epochs; the best "
            "epoch is kept nevertheless"
        )
        found.append(ConfigWarning("/early_stopping/patience", "no_effect", message))
    return found


def time_warnings(config: InferenceRPUConfig, t_inference_s: Iterable[float]) -> list[ConfigWarning]:
    """Return a warning (`time_not_measured`) when a noise model has no data at some of the times, in s."""
    model = config.noise_model
    if not isinstance(model, ReRamWan2022NoiseModel):
        return []
    measured = sorted(model.coeff_dic or _WAN_PUBLISHED_TIMES_S)
    times = sorted({float(t) for t in t_inference_s})
    between = [t for t in times if measured[0] < t < measured[-1] and t not in measured]
    outside = [t for t in times if not measured[0] <= t <= measured[-1]]
    warnings = []
    for group, what in ((between, "interpolated in ln t"), (outside, "held constant")):
        if group:
            listed = ", ".join(f"{t:g}" for t in group[:10]) + (", ..." if len(group) > 10 else "")
            message = f"{model.type} has no data at t = {listed} s: its noise is {what} there"
            warnings.append(ConfigWarning("/noise_model", "time_not_measured", message))
    return warnings
