"""Combinations that are valid but hardly meant: set fields that have no effect, and doubtful defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from simulator.config.faults import ConfigWarning, leaf_fields, pointer_to
from simulator.config.idle import why_idle
from simulator.config.no_effect import (
    NOISE_MODEL_NO_EFFECT,
    Condition,
    is_off,
    is_perfect,
    no_adc,
    no_modifier,
)
from simulator.config.noise_models import NoiseModelConfig
from simulator.config.plausible import implausible_values
from simulator.config.rpu import InferenceRPUConfig

_DEFAULT_OUT_NOISE = 0.06


def _is_idle(dotted: str, c: InferenceRPUConfig) -> bool:
    """Tell whether a field has no effect with any value: a default is idle without being set."""
    converters = {
        "forward.inp_res": is_off(c.forward.inp_bound),
        "forward.out_res": is_off(c.forward.out_bound),
    }
    return converters.get(dotted, False) or why_idle(dotted, c) is not None


def _acts_before_programming_alone(c: InferenceRPUConfig) -> bool:
    return c.modifier.enable_during_test and not no_modifier(c)


def _step_of_outputs(c: InferenceRPUConfig) -> float:
    """The ADC's step, in units of what one device of |w| = 1 gives at input 1."""
    res = c.forward.out_res
    return 0.0 if no_adc(c) or is_perfect(c) else 2 * c.forward.out_bound * (1 / res if res > 1 else res)


def _readout_is_below_a_code(c: InferenceRPUConfig) -> bool:
    """Tell whether one step is more than the largest weight, so that single weights are rounded away."""
    largest = c.mapping.weight_scaling_omega or 1.0
    return c.drift_compensation is not None and _step_of_outputs(c) > largest


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
)


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
        why = why_idle(dotted, config)
        if why is not None:
            found.append(_no_effect(dotted, why))
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
    if config.noise_model.deviates_from_reference is not None:
        message = config.noise_model.deviates_from_reference
        found.append(ConfigWarning("/noise_model", "deviates", message))
    if config.forward.out_noise == _DEFAULT_OUT_NOISE and not is_perfect(config):
        message = "forward.out_noise is the reference's default 0.06: set what your ADC has"
        found.append(ConfigWarning("/forward/out_noise", "default_out_noise", message))
    return found


def _noise_model_warnings(model: NoiseModelConfig) -> list[ConfigWarning]:
    found = []
    for name, field in type(model).model_fields.items():
        default = field.get_default(call_default_factory=True)
        if name == "g_max":  # it may depend on other fields
            default = getattr(model, "default_g_max_us", default)
        if getattr(model, name) in (default, None) or name == "type":
            continue
        dotted = f"noise_model.{name}"
        why = model.why_idle(name)
        if why is None and name in NOISE_MODEL_NO_EFFECT and NOISE_MODEL_NO_EFFECT[name][0](model):
            why = NOISE_MODEL_NO_EFFECT[name][1]
        if why is not None:
            found.append(_no_effect(dotted, why))
    return found


def _no_effect(dotted: str, why: str) -> ConfigWarning:
    return ConfigWarning(pointer_to(dotted), "no_effect", f"{dotted} has no effect: {why}")


def time_warnings(config: InferenceRPUConfig, t_inference_s: Iterable[float]) -> list[ConfigWarning]:
    """Return a warning (`time_not_measured`) when a noise model has no data at some of the times, in s."""
    model = config.noise_model
    measured = model.measured_times_s
    if measured is None:
        return []
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
