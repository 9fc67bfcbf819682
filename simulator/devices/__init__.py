"""Devices: conductance converters, noise models, drift compensation. Importing this registers all of them."""

from simulator.devices import compensation, converters, measured, power_law, reram
from simulator.devices.base import (
    BaseConductanceConverter,
    BaseDriftCompensation,
    BaseNoiseModel,
    ProgrammedWeights,
    build_converter,
    build_drift_compensation,
    build_noise_model,
    register_converter,
    register_drift_compensation,
    register_noise_model,
    standard_normal,
)
from simulator.devices.reram import OutsideMeasuredTimesWarning

__all__ = [
    "BaseConductanceConverter",
    "BaseDriftCompensation",
    "BaseNoiseModel",
    "OutsideMeasuredTimesWarning",
    "ProgrammedWeights",
    "build_converter",
    "build_drift_compensation",
    "build_noise_model",
    "compensation",
    "converters",
    "measured",
    "power_law",
    "register_converter",
    "register_drift_compensation",
    "register_noise_model",
    "reram",
    "standard_normal",
]
