"""Enumerations of the configuration: members are named as in aihwkit, values are what JSON carries."""

from __future__ import annotations

from enum import StrEnum


class RPUDataType(StrEnum):
    """Number format of a tile."""

    FLOAT = "float"
    DOUBLE = "double"
    HALF = "half"


class AnalogMVType(StrEnum):
    """How one matrix-vector product is carried out."""

    IDEAL = "Ideal"
    ONE_PASS = "OnePass"  # noqa: S105 - a pass through the crossbar
    POS_NEG_SEPARATE = "PosNegSeparate"
    POS_NEG_SEPARATE_DIGITAL_SUM = "PosNegSeparateDigitalSum"
    SPLIT_MODE = "SplitMode"
    BIT_WISE = "BitWise"


class BoundManagementType(StrEnum):
    """What happens to an input vector whose output hits the ADC's bound."""

    NONE = "None"
    ITERATIVE = "Iterative"
    ITERATIVE_WORST_CASE = "IterativeWorstCase"
    SHIFT = "Shift"


class NoiseManagementType(StrEnum):
    """How an input vector is scaled before the DAC."""

    NONE = "None"
    ABS_MAX = "AbsMax"
    ABS_MAX_NP_SUM = "AbsMaxNPSum"
    MAX = "Max"
    CONSTANT = "Constant"
    AVERAGE_ABS_MAX = "AverageAbsMax"


class WeightNoiseType(StrEnum):
    """Short-term weight read noise, referred to the output."""

    NONE = "None"
    ADDITIVE_CONSTANT = "AdditiveConstant"
    PCM_READ = "PCMRead"


class PulseType(StrEnum):
    """Pulse trains of an in-memory weight update."""

    NONE = "None"
    STOCHASTIC_COMPRESSED = "StochasticCompressed"
    STOCHASTIC = "Stochastic"
    NONE_WITH_DEVICE = "NoneWithDevice"
    MEAN_COUNT = "MeanCount"
    DETERMINISTIC_IMPLICIT = "DeterministicImplicit"


class WeightModifierType(StrEnum):
    """How the weights are disturbed during hardware-aware training."""

    NONE = "None"
    DISCRETIZE = "Discretize"
    MULT_NORMAL = "MultNormal"
    ADD_NORMAL = "AddNormal"
    DISCRETIZE_ADD_NORMAL = "DiscretizeAddNormal"
    DOREFA = "DoReFa"
    POLY = "Poly"
    PCM_NOISE = "PCMNoise"
    PROG_NOISE = "ProgNoise"
    DROP_CONNECT = "DropConnect"
    COPY = "Copy"


class WeightClipType(StrEnum):
    """How the weights are clipped after an optimiser step."""

    NONE = "None"
    FIXED_VALUE = "FixedValue"
    LAYER_GAUSSIAN = "LayerGaussian"
    AVERAGE_CHANNEL_MAX = "AverageChannelMax"


class WeightRemapType(StrEnum):
    """How the weights are rescaled to the conductance range after an optimiser step."""

    NONE = "None"
    LAYERWISE_SYMMETRIC = "LayerwiseSymmetric"
    CHANNELWISE_SYMMETRIC = "ChannelwiseSymmetric"


class DeviceState(StrEnum):
    """What a tile remembers of its devices between programming and a later time.

    `NET` keeps one signed weight and converts it to conductances anew at every time, as aihwkit does.
    `PER_DEVICE` keeps the conductance and the drift exponent of every device.
    """

    NET = "net"
    PER_DEVICE = "per_device"
