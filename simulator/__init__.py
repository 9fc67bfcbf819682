"""Analog in-memory-computing inference as a library.

Names load when they are first used: `import simulator.config` imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.config import (
        AnalogMVType,
        BoundManagementType,
        ConverterConfig,
        CustomDriftPCMLikeNoiseModel,
        CustomPairConductanceConverter,
        DeviceState,
        DriftCompensationConfig,
        DualPairConductanceConverter,
        FusionConductanceConverter,
        GlobalDriftCompensation,
        GlobalDriftCompensationWithExactReference,
        HermesNoiseModel,
        InferenceRPUConfig,
        InputRangeParameter,
        IOParameters,
        MappingParameter,
        MeasuredNoiseModel,
        NoiseManagementType,
        NoiseModelConfig,
        NPairConductanceConverter,
        PCMLikeNoiseModel,
        PerColumnDriftCompensation,
        PrePostProcessingParameter,
        ReRamCMONoiseModel,
        ReRamWan2022NoiseModel,
        SingleDeviceConductanceConverter,
        SinglePairConductanceConverter,
        StateIndependentNoiseModel,
        WeightClipParameter,
        WeightClipType,
        WeightModifierParameter,
        WeightModifierType,
        WeightNoiseType,
        WeightRemapParameter,
        WeightRemapType,
        preset,
        resolve,
    )
    from simulator.devices import (
        BaseConductanceConverter,
        BaseDriftCompensation,
        BaseNoiseModel,
        register_converter,
        register_drift_compensation,
        register_noise_model,
    )
    from simulator.nn import (
        AnalogConv2d,
        AnalogLinear,
        AnalogSequential,
        convert_to_analog,
        drift_analog_weights,
        program_analog_weights,
    )

__all__ = [
    "AnalogConv2d",
    "AnalogLinear",
    "AnalogMVType",
    "AnalogSequential",
    "BaseConductanceConverter",
    "BaseDriftCompensation",
    "BaseNoiseModel",
    "BoundManagementType",
    "ConverterConfig",
    "CustomDriftPCMLikeNoiseModel",
    "CustomPairConductanceConverter",
    "DeviceState",
    "DriftCompensationConfig",
    "DualPairConductanceConverter",
    "FusionConductanceConverter",
    "GlobalDriftCompensation",
    "GlobalDriftCompensationWithExactReference",
    "HermesNoiseModel",
    "IOParameters",
    "InferenceRPUConfig",
    "InputRangeParameter",
    "MappingParameter",
    "MeasuredNoiseModel",
    "NPairConductanceConverter",
    "NoiseManagementType",
    "NoiseModelConfig",
    "PCMLikeNoiseModel",
    "PerColumnDriftCompensation",
    "PrePostProcessingParameter",
    "ReRamCMONoiseModel",
    "ReRamWan2022NoiseModel",
    "SingleDeviceConductanceConverter",
    "SinglePairConductanceConverter",
    "StateIndependentNoiseModel",
    "WeightClipParameter",
    "WeightClipType",
    "WeightModifierParameter",
    "WeightModifierType",
    "WeightNoiseType",
    "WeightRemapParameter",
    "WeightRemapType",
    "convert_to_analog",
    "drift_analog_weights",
    "preset",
    "program_analog_weights",
    "register_converter",
    "register_drift_compensation",
    "register_noise_model",
    "resolve",
]

_DEVICES = frozenset(
    {
        "BaseConductanceConverter",
        "BaseDriftCompensation",
        "BaseNoiseModel",
        "register_converter",
        "register_drift_compensation",
        "register_noise_model",
    }
)
_NN = frozenset(
    {
        "AnalogConv2d",
        "AnalogLinear",
        "AnalogSequential",
        "convert_to_analog",
        "drift_analog_weights",
        "program_analog_weights",
    }
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "nn" if name in _NN else "devices" if name in _DEVICES else "config"
    return getattr(import_module(f"{__name__}.{room}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
