"""Combinations that are valid but hardly meant: set fields that have no effect, and doubtful defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
from simulator.config.noise_models import ReRamWan2022NoiseModel
from simulator.config.rpu import InferenceRPUConfig
from simulator.config.training import FinetuneSpec, StepSchedule

Condition = Callable[[InferenceRPUConfig], bool]

_WAN_PUBLISHED_TIMES_S = (1.0, 86400.0, 172800.0)
_DEFAULT_OUT_NOISE = 0.06


def _is_perfect(c: InferenceRPUConfig) -> bool:
    return c.forward.is_perfect or c.forward.mv_type is AnalogMVType.IDEAL


def _one_pass(c: InferenceRPUConfig) -> bool:
    return c.forward.mv_type not in (
        AnalogMVType.POS_NEG_SEPARATE,
        AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
    )


def _no_bound_management(c: InferenceRPUConfig) -> bool:
    return c.forward.bound_management is BoundManagementType.NONE or c.forward.out_bound <= 0


def _no_dac(c: InferenceRPUConfig) -> bool:
    return c.forward.inp_res <= 0 or c.forward.inp_bound <= 0 or c.forward.inp_bound == float("inf")


def _no_adc(c: InferenceRPUConfig) -> bool:
    return c.forward.out_res <= 0 or c.forward.out_bound <= 0 or c.forward.out_bound == float("inf")


def _no_offset(c: InferenceRPUConfig) -> bool:
    return c.forward.v_offset_std == 0 and c.forward.r_series == 0


def _no_input_range(c: InferenceRPUConfig) -> bool:
    return not c.pre_post.input_range.enable


def _range_not_learned(c: InferenceRPUConfig) -> bool:
    return _no_input_range(c) or not c.pre_post.input_range.learn_input_range


def _nm_without_threshold(c: InferenceRPUConfig) -> bool:
    return c.forward.noise_management in (NoiseManagementType.NONE, NoiseManagementType.AVERAGE_ABS_MAX)


def _nm_without_wmax(c: InferenceRPUConfig) -> bool:
    return (
        c.forward.noise_management is not NoiseManagementType.ABS_MAX_NP_SUM
        and c.forward.bound_management is not BoundManagementType.ITERATIVE_WORST_CASE
    )


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
    *_NOISY,
    WeightModifierType.DISCRETIZE,
)
_PCM = (WeightModifierType.PCM_NOISE,)
_POLYNOMIAL = (WeightModifierType.POLY, WeightModifierType.PROG_NOISE)

# Field -> (when it has no effect, why). A field is reported when it differs from its default.
NO_EFFECT: dict[str, tuple[Condition, str]] = {
    "forward.inp_sto_round": (_no_dac, "the DAC does not round (inp_res or inp_bound is off)"),
    "forward.out_sto_round": (_no_adc, "the ADC does not round (out_res or out_bound is off)"),
    "forward.out_noise_std": (lambda c: c.forward.out_noise == 0, "out_noise is 0"),
    "forward.out_nonlinearity_std": (lambda c: c.forward.out_nonlinearity == 0, "out_nonlinearity is 0"),
    "forward.slope_calibration": (
        lambda c: c.forward.out_nonlinearity == 0 and c.forward.r_series == 0,
        "neither out_nonlinearity nor r_series is set",
    ),
    "forward.ir_drop_g_ratio": (lambda c: c.forward.ir_drop == 0, "ir_drop is 0"),
    "forward.v_offset_w_min": (_no_offset, "neither v_offset_std nor r_series is set"),
    "forward.w_read_asymmetry_dtod": (_one_pass, "it acts only with mv_type PosNegSeparate(DigitalSum)"),
    "forward.w_noise": (lambda c: c.forward.w_noise_type is WeightNoiseType.NONE, "w_noise_type is None"),
    "forward.w_noise_type": (lambda c: c.forward.w_noise == 0, "w_noise is 0"),
    "forward.bound_management": (lambda c: c.forward.out_bound <= 0, "out_bound is off"),
    "forward.max_bm_factor": (_no_bound_management, "bound management is off"),
    "forward.max_bm_res": (lambda c: _no_bound_management(c) or _no_dac(c), "bound management or DAC is off"),
    "forward.bm_test_negative_bound": (_no_bound_management, "bound management is off"),
    "forward.nm_thres": (_nm_without_threshold, "the noise management type has no threshold"),
    "forward.nm_assumed_wmax": (_nm_without_wmax, "only AbsMaxNPSum and IterativeWorstCase use it"),
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
    "modifier.per_batch_sample": (
        lambda c: c.modifier.type is WeightModifierType.NONE and c.modifier.pdrop == 0,
        "the modifier is off",
    ),
    "modifier.enable_during_test": (
        lambda c: c.modifier.type is WeightModifierType.NONE and c.modifier.pdrop == 0,
        "the modifier is off",
    ),
    "modifier.copy_last_column": (
        lambda c: c.modifier.type is WeightModifierType.NONE and c.modifier.pdrop == 0,
        "the modifier is off",
    ),
    "modifier.res": (_modifier_is_not(*_DISCRETE), "the modifier type does not discretise"),
    "modifier.sto_round": (_modifier_is_not(*_DISCRETE), "the modifier type does not discretise"),
    "modifier.dorefa_clip": (_modifier_is_not(WeightModifierType.DOREFA), "the modifier type is not DoReFa"),
    "modifier.rel_to_actual_wmax": (_modifier_is_not(*_SCALED), "the modifier type has no reference weight"),
    "modifier.assumed_wmax": (
        lambda c: c.modifier.rel_to_actual_wmax or c.modifier.type not in _SCALED,
        "the modifier refers to the actual largest weight, or to none",
    ),
    "modifier.coeffs": (_modifier_is_not(*_POLYNOMIAL), "the modifier type is not Poly or ProgNoise"),
    "modifier.g_max": (
        _modifier_is_not(WeightModifierType.PROG_NOISE, *_PCM),
        "the modifier type is not ProgNoise or PCMNoise",
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
    "clip.fixed_value": (lambda c: c.clip.type is WeightClipType.NONE, "clip.type is None"),
    "clip.sigma": (
        lambda c: c.clip.type is not WeightClipType.LAYER_GAUSSIAN,
        "clip.type is not LayerGaussian",
    ),
    "remap.remapped_wmax": (lambda c: c.remap.type is WeightRemapType.NONE, "remap.type is None"),
    "remap.max_scale_range": (lambda c: c.remap.type is WeightRemapType.NONE, "remap.type is None"),
    "remap.max_scale_ref": (
        lambda c: c.remap.type is WeightRemapType.NONE or c.remap.max_scale_range == 0,
        "remap.type is None or max_scale_range is 0",
    ),
}

# A perfect product still has these.
_KEPT_BY_PERFECT = frozenset({"forward.is_perfect", "forward.mv_type", "forward.out_scale"})


def warnings_for(config: InferenceRPUConfig) -> list[ConfigWarning]:
    """Return what is set without effect (`no_effect`) and doubtful defaults (`default_out_noise`)."""
    found = []
    for dotted, value, default in leaf_fields(config):
        if value == default:
            continue
        if dotted.startswith("forward.") and dotted not in _KEPT_BY_PERFECT and _is_perfect(config):
            found.append(_no_effect(dotted, "the product is perfect (is_perfect or mv_type Ideal)"))
        elif dotted in NO_EFFECT and NO_EFFECT[dotted][0](config):
            found.append(_no_effect(dotted, NO_EFFECT[dotted][1]))
    if config.forward.out_noise == _DEFAULT_OUT_NOISE and not _is_perfect(config):
        message = "forward.out_noise is the reference's default 0.06: set what your ADC has"
        found.append(ConfigWarning("/forward/out_noise", "default_out_noise", message))
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
