"""What the simulator does not do yet: a field set to such a value is refused, never silently ignored.

Every field of the configuration stands in exactly one of three places: `SUPPORTED` (any valid value works),
`LIMITED` (only the values listed work yet), or an inert part that accepts its defaults alone.
"""

from __future__ import annotations

from typing import Any

from simulator.config.enums import (
    AnalogMVType,
    NoiseManagementType,
    WeightModifierType,
)
from simulator.config.faults import Fault, leaf_fields, pointer_to
from simulator.config.io import InertModel
from simulator.config.rpu import InferenceRPUConfig

# Field -> the values that work. One line per entry; a field moves to SUPPORTED when all its values work.
LIMITED: dict[str, tuple[Any, ...]] = {
    "forward.mv_type": (AnalogMVType.IDEAL, AnalogMVType.ONE_PASS),
    "forward.noise_management": tuple(
        kind for kind in NoiseManagementType if kind is not NoiseManagementType.AVERAGE_ABS_MAX
    ),
    "forward.nm_decay": (0.001,),
    "forward.out_noise_std": (0.0,),
    "forward.ir_drop": (0.0,),
    "forward.out_nonlinearity": (0.0,),
    "forward.out_nonlinearity_std": (0.0,),
    "forward.slope_calibration": (0.0,),
    "forward.v_offset_std": (0.0,),
    "forward.r_series": (0.0,),
    "forward.w_read_asymmetry_dtod": (0.0,),
    "pre_post.input_range.manage_output_clipping": (False,),
    "modifier.type": (WeightModifierType.NONE, WeightModifierType.ADD_NORMAL),
    "modifier.per_batch_sample": (False,),
    "modifier.enable_during_test": (False,),
    "modifier.copy_last_column": (False,),
    "modifier.pcm_prob_at_reset": (0.0,),
    "modifier.pcm_prob_at_gmax": (0.0,),
    "modifier.pcm_prob_at_random": (0.0,),
    "modifier.pcm_zero_thres": (0.0,),
}

SUPPORTED: frozenset[str] = frozenset(
    {
        "noise_model",
        "drift_compensation",
        "pre_post.input_range.enable",
        "pre_post.input_range.learn_input_range",
        "pre_post.input_range.init_value",
        "pre_post.input_range.init_from_data",
        "pre_post.input_range.init_std_alpha",
        "pre_post.input_range.decay",
        "pre_post.input_range.input_min_percentage",
        "pre_post.input_range.output_min_percentage",
        "pre_post.input_range.gradient_scale",
        "pre_post.input_range.gradient_relative",
        "pre_post.input_range.calibration_info",
        "mapping.digital_bias",
        "mapping.weight_scaling_omega",
        "mapping.weight_scaling_columnwise",
        "mapping.weight_scaling_lr_compensation",
        "mapping.learn_out_scaling",
        "mapping.out_scaling_columnwise",
        "mapping.max_input_size",
        "mapping.max_output_size",
        "forward.is_perfect",
        "forward.inp_bound",
        "forward.inp_noise",
        "forward.inp_res",
        "forward.inp_sto_round",
        "forward.inp_asymmetry",
        "forward.out_bound",
        "forward.out_noise",
        "forward.out_res",
        "forward.out_sto_round",
        "forward.out_scale",
        "forward.out_asymmetry",
        "forward.bound_management",
        "forward.w_noise",
        "forward.w_noise_type",
        "forward.ir_drop_g_ratio",
        "forward.v_offset_w_min",
        "forward.max_bm_factor",
        "forward.max_bm_res",
        "forward.bm_test_negative_bound",
        "forward.nm_thres",
        "forward.nm_assumed_wmax",
        "clip.fixed_value",
        "clip.sigma",
        "clip.type",
        "remap.remapped_wmax",
        "remap.max_scale_range",
        "remap.max_scale_ref",
        "remap.type",
        "modifier.std_dev",
        "modifier.res",
        "modifier.sto_round",
        "modifier.dorefa_clip",
        "modifier.pdrop",
        "modifier.rel_to_actual_wmax",
        "modifier.assumed_wmax",
        "modifier.coeffs",
        "modifier.g_max",
        "modifier.pcm_t_inference",
        "modifier.pcm_t0",
    }
)


def inert_parts() -> tuple[str, ...]:
    """Return the names of the configuration's parts that accept their defaults alone."""
    return tuple(
        name
        for name, field in InferenceRPUConfig.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, InertModel)
    )


def unsupported(config: InferenceRPUConfig) -> list[Fault]:
    """Return every field that is set to a value whose physics the simulator does not do yet."""
    faults = []
    for dotted, value, _ in leaf_fields(config):
        if dotted not in LIMITED or value in LIMITED[dotted]:
            continue
        works = ", ".join(str(getattr(item, "value", item)) for item in LIMITED[dotted])
        message = f"{dotted} = {getattr(value, 'value', value)} is not supported yet; supported: {works}"
        faults.append(Fault(pointer_to(dotted), "not_yet_supported", message))
    return faults
