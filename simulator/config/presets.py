"""Named configurations, each with its source, and the resolution of `{"preset", "overrides"}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from simulator.config.base import custom_error, unknown, unknown_error
from simulator.config.compensation import GlobalDriftCompensation
from simulator.config.enums import (
    BoundManagementType,
    NoiseManagementType,
    WeightClipType,
    WeightNoiseType,
    WeightRemapType,
)
from simulator.config.hwa import WeightClipParameter, WeightRemapParameter
from simulator.config.io import IOParameters
from simulator.config.mapping import InputRangeParameter, MappingParameter, PrePostProcessingParameter
from simulator.config.measured import (
    ConductanceUnit,
    Interpolation,
    MeasuredDrift,
    MeasuredNoiseModel,
    MeasuredRead,
    PolynomialCurve,
    PolynomialVariable,
    TableCurve,
)
from simulator.config.noise_models import (
    CustomDriftPCMLikeNoiseModel,
    DriftTable,
    HermesNoiseModel,
    NoiseModelConfig,
    PCMLikeNoiseModel,
    ReRamCMONoiseModel,
    ReRamWan2022NoiseModel,
    StateIndependentNoiseModel,
)
from simulator.config.overrides import Location, located, with_overrides
from simulator.config.rpu import InferenceRPUConfig

Preset = Callable[[], InferenceRPUConfig]


def _example(noise_model: NoiseModelConfig, *, w_noise: float = 0.02) -> InferenceRPUConfig:
    """A 6-bit DAC, an 8-bit ADC and 2 % noise around the given devices, with global drift compensation."""
    return InferenceRPUConfig(
        mapping=MappingParameter(weight_scaling_omega=1.0),
        forward=IOParameters(
            inp_res=1 / 64,
            out_res=1 / 256,
            out_noise=0.02,
            w_noise=w_noise,
            w_noise_type=WeightNoiseType.ADDITIVE_CONSTANT if w_noise else WeightNoiseType.NONE,
        ),
        noise_model=noise_model,
        drift_compensation=GlobalDriftCompensation(),
    )


def pcm_example() -> InferenceRPUConfig:
    """Phase-change memory with 2 % read and output noise (Joshi et al., Nat. Commun. 11, 2473, 2020)."""
    return _example(PCMLikeNoiseModel(g_max=25.0))


def standard_hwa_training() -> InferenceRPUConfig:
    """The standard analog model of hardware-aware training (Rasch et al., Nat. Commun. 14, 5282, 2023).

    It has no weight noise for training: set `modifier` to add some.
    """
    return InferenceRPUConfig(
        mapping=MappingParameter(
            weight_scaling_omega=1.0,
            weight_scaling_columnwise=True,
            learn_out_scaling=True,
            out_scaling_columnwise=True,
            max_input_size=512,
            max_output_size=0,
        ),
        forward=IOParameters(
            inp_res=254.0,
            out_res=254.0,
            out_bound=10.0,
            out_noise=0.04,
            bound_management=BoundManagementType.NONE,
            noise_management=NoiseManagementType.CONSTANT,
            nm_thres=1.0,
            w_noise=0.0175,
            w_noise_type=WeightNoiseType.PCM_READ,
            ir_drop=1.0,
        ),
        pre_post=PrePostProcessingParameter(
            input_range=InputRangeParameter(
                enable=True, learn_input_range=True, init_value=3.0, init_from_data=100, decay=0.001
            )
        ),
        clip=WeightClipParameter(type=WeightClipType.FIXED_VALUE, fixed_value=1.0),
        remap=WeightRemapParameter(type=WeightRemapType.CHANNELWISE_SYMMETRIC),
        noise_model=PCMLikeNoiseModel(g_max=25.0),
        drift_compensation=GlobalDriftCompensation(),
    )


def floating_point() -> InferenceRPUConfig:
    """Plain products, tiles of any size; programming noise, drift and read noise of PCM devices remain."""
    return InferenceRPUConfig(
        mapping=MappingParameter(max_input_size=0, max_output_size=0), forward=IOParameters(is_perfect=True)
    )


def pcm_custom_drift() -> InferenceRPUConfig:
    """Phase-change memory whose drift exponents are a table; here that of Nandakumar et al., ICECS 2019."""
    table = DriftTable(
        g_lst=(0.0, 2.5, 5.0, 12.5, 25.0),
        nu_mean_lst=(0.1, 0.06009, 0.049, 0.049, 0.049),
        nu_std_lst=(0.045, 0.02288, 0.01422, 0.008, 0.008),
    )
    return _example(CustomDriftPCMLikeNoiseModel(g_max=25.0, custom_drift_model=table))


def hermes() -> InferenceRPUConfig:
    """Phase-change memory of the HERMES project chip, two devices (Le Gallo et al., Nat. Electron. 2023)."""
    return _example(HermesNoiseModel(num_devices=2))


def hermes_single_device() -> InferenceRPUConfig:
    """Phase-change memory of the HERMES project chip, one device (Le Gallo et al., Nat. Electron. 2023)."""
    return _example(HermesNoiseModel(num_devices=1))


def reram_wan_2022() -> InferenceRPUConfig:
    """Resistive memory of the NeuRRAM chip (Wan et al., Nature 608, 2022), with 1 % short-term read noise."""
    return _example(ReRamWan2022NoiseModel(), w_noise=0.01)


def reram_cmo() -> InferenceRPUConfig:
    """Analog CMO/HfOx resistive memory, accepted within 0.2 % (Falcone et al.; values of aihwkit 1.2.0)."""
    return _example(ReRamCMONoiseModel(acceptance_range=0.2), w_noise=0.0)


def state_independent() -> InferenceRPUConfig:
    """Devices whose programming noise and drift do not depend on their state (aihwkit's generic model)."""
    return _example(StateIndependentNoiseModel())


def measured_pcm() -> InferenceRPUConfig:
    """Phase-change memory as measured curves (Nandakumar et al., ICECS 2019): a start for one's own."""
    relative = ConductanceUnit.RELATIVE
    log = PolynomialVariable.LN_G
    model = MeasuredNoiseModel(
        g_max=25.0,
        programming=PolynomialCurve(g_unit=relative, coefficients=(0.26348, 1.9650, -1.1731)),
        drift=MeasuredDrift(
            nu_mean=PolynomialCurve(
                g_unit=relative, variable=log, coefficients=(0.0244, -0.0155), minimum=0.049, maximum=0.1
            ),
            nu_std=PolynomialCurve(
                g_unit=relative, variable=log, coefficients=(-0.0059, -0.0125), minimum=0.008, maximum=0.045
            ),
            t_0=20.0,
        ),
        read=MeasuredRead(
            # Q = 0.0088 g^-0.65, at most 0.2: a power law between the two points
            q=TableCurve(
                g_unit=relative,
                g=((0.0088 / 0.2) ** (1 / 0.65), 2.0),
                value=(0.2, 0.0088 / 2.0**0.65),
                interpolation=Interpolation.LOG_LOG,
            ),
            t_read=250e-9,
        ),
    )
    return _example(model)


PRESETS: dict[str, Preset] = {
    "PCMExamplePreset": pcm_example,
    "StandardHWATrainingPreset": standard_hwa_training,
    "FloatingPointPreset": floating_point,
    "PCMCustomDriftPreset": pcm_custom_drift,
    "HermesPreset": hermes,
    "HermesSingleDevicePreset": hermes_single_device,
    "ReRamWan2022Preset": reram_wan_2022,
    "ReRamCMOPreset": reram_cmo,
    "StateIndependentPreset": state_independent,
    "MeasuredPCMPreset": measured_pcm,
}


def preset(name: str) -> InferenceRPUConfig:
    """Return a new configuration of a named preset.

    Raises:
        ValueError: when there is none of that name; the message has the nearest.
    """
    if name not in PRESETS:
        raise ValueError(str(unknown("preset", name, PRESETS)))
    return PRESETS[name]()


def resolve(spec: Mapping[str, Any] | InferenceRPUConfig, location: Location = ()) -> InferenceRPUConfig:
    """Return the configuration that a request means.

    Args:
        spec: `{"preset": name, "overrides": {...}}` (overrides optional), or a configuration inline.
        location: where the spec stands, to go before the locations of errors.

    Raises:
        pydantic.ValidationError: listing every fault, located as in the spec.
    """
    if isinstance(spec, InferenceRPUConfig):
        return spec
    if not isinstance(spec, Mapping) or "preset" not in spec:
        try:
            return InferenceRPUConfig.model_validate(spec)
        except ValidationError as error:
            raise located(error, location) from None
    name, overrides = spec["preset"], spec.get("overrides")
    faults = []
    if not isinstance(name, str) or name not in PRESETS:
        fault = unknown_error("unknown_preset", unknown("preset", name, PRESETS))
        faults.append(InitErrorDetails(type=fault, loc=(*location, "preset"), input=name))
    faults.extend(
        InitErrorDetails(
            type=custom_error("unknown_field", f"beside a preset there is only overrides: put {key!r} there"),
            loc=(*location, str(key)),
            input=spec[key],
        )
        for key in spec
        if key not in ("preset", "overrides")
    )
    if faults:
        raise ValidationError.from_exception_data("InferenceRPUConfig", faults)
    return with_overrides(PRESETS[name](), {} if overrides is None else overrides, (*location, "overrides"))
