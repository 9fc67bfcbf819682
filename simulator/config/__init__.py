"""Configuration of the simulator: what is simulated and asked for. Imports neither torch nor numpy."""

from simulator.config import compensation, converters, measured, noise_models
from simulator.config.base import StrictModel, TypedConfig
from simulator.config.compensation import *
from simulator.config.converters import *
from simulator.config.enums import (
    AnalogMVType,
    BoundManagementType,
    DeviceState,
    NoiseManagementType,
    PulseType,
    RPUDataType,
    WeightClipType,
    WeightModifierType,
    WeightNoiseType,
    WeightRemapType,
)
from simulator.config.evaluation import (
    CalibrationMethod,
    CalibrationSpec,
    EvaluateSpec,
    LayerOverride,
    LayerRules,
    Variant,
)
from simulator.config.faults import ConfigWarning, Fault
from simulator.config.hwa import WeightClipParameter, WeightModifierParameter, WeightRemapParameter
from simulator.config.inert import IdealDevice, RuntimeParameter, UpdateParameters
from simulator.config.io import BackwardIOParameters, IOParameters
from simulator.config.mapping import InputRangeParameter, MappingParameter, PrePostProcessingParameter
from simulator.config.measured import *
from simulator.config.noise_models import *
from simulator.config.overrides import with_overrides
from simulator.config.presets import PRESETS, preset, resolve
from simulator.config.rpu import InferenceRPUConfig, config_hash, effective, json_schema
from simulator.config.support import unsupported
from simulator.config.training import (
    SGD,
    Adam,
    AdamW,
    ConstantSchedule,
    CosineSchedule,
    Distillation,
    EarlyStopping,
    ExponentialSchedule,
    FinetuneSpec,
    LossType,
    OptimizerConfig,
    SchedulerConfig,
    StepSchedule,
)
from simulator.config.training_warnings import finetune_warnings, training_warnings
from simulator.config.warnings import time_warnings, warnings_for

__all__ = [
    "PRESETS",
    "SGD",
    "Adam",
    "AdamW",
    "AnalogMVType",
    "BackwardIOParameters",
    "BoundManagementType",
    "CalibrationMethod",
    "CalibrationSpec",
    "ConfigWarning",
    "ConstantSchedule",
    "CosineSchedule",
    "DeviceState",
    "Distillation",
    "EarlyStopping",
    "EvaluateSpec",
    "ExponentialSchedule",
    "Fault",
    "FinetuneSpec",
    "IOParameters",
    "IdealDevice",
    "InferenceRPUConfig",
    "InputRangeParameter",
    "LayerOverride",
    "LayerRules",
    "LossType",
    "MappingParameter",
    "NoiseManagementType",
    "OptimizerConfig",
    "PrePostProcessingParameter",
    "PulseType",
    "RPUDataType",
    "RuntimeParameter",
    "SchedulerConfig",
    "StepSchedule",
    "StrictModel",
    "TypedConfig",
    "UpdateParameters",
    "Variant",
    "WeightClipParameter",
    "WeightClipType",
    "WeightModifierParameter",
    "WeightModifierType",
    "WeightNoiseType",
    "WeightRemapParameter",
    "WeightRemapType",
    "config_hash",
    "effective",
    "finetune_warnings",
    "json_schema",
    "preset",
    "resolve",
    "time_warnings",
    "training_warnings",
    "unsupported",
    "warnings_for",
    "with_overrides",
]

# Families that grow: their modules list what they export.
__all__ += compensation.__all__
__all__ += converters.__all__
__all__ += measured.__all__
__all__ += noise_models.__all__
