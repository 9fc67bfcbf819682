"""Networks on analog tiles: layers, conversion, programming and drift."""

from simulator.nn.analysis import LayerAnalysis, TileAnalysis, analyse_layers
from simulator.nn.attention import AnalogMultiheadAttention
from simulator.nn.calibration import CalibratedTile, calibrate_input_ranges
from simulator.nn.conductances import target_conductances
from simulator.nn.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from simulator.nn.convert import AnalogSequential, convert_to_analog, convert_to_digital
from simulator.nn.converters import ConverterAdvice, advise_converters
from simulator.nn.equality import perfect_error
from simulator.nn.layer import AnalogLayer
from simulator.nn.linear import AnalogLinear
from simulator.nn.model import (
    analog_layers,
    analog_state,
    bind_noise_context,
    drift_analog_weights,
    forget_programming,
    load_trained_elsewhere,
    noise_context,
    post_update_step,
    program_analog_weights,
    remap_for_programming,
    set_modifier_strength,
)
from simulator.nn.readout import CoarseReadout, coarse_readouts
from simulator.nn.recurrent import AnalogGRU, AnalogLSTM, AnalogRNN
from simulator.nn.report import ConversionReport, LayerReport, TileReport, conversion_report
from simulator.nn.tile import NotProgrammedWarning, TileMode
from simulator.nn.weight_analysis import DriftedWeights, WeightAnalysis, analyse_weights

__all__ = [
    "AnalogConv1d",
    "AnalogConv2d",
    "AnalogConv3d",
    "AnalogGRU",
    "AnalogLSTM",
    "AnalogLayer",
    "AnalogLinear",
    "AnalogMultiheadAttention",
    "AnalogRNN",
    "AnalogSequential",
    "CalibratedTile",
    "CoarseReadout",
    "ConversionReport",
    "ConverterAdvice",
    "DriftedWeights",
    "LayerAnalysis",
    "LayerReport",
    "NotProgrammedWarning",
    "TileAnalysis",
    "TileMode",
    "TileReport",
    "WeightAnalysis",
    "advise_converters",
    "analog_layers",
    "analog_state",
    "analyse_layers",
    "analyse_weights",
    "bind_noise_context",
    "calibrate_input_ranges",
    "coarse_readouts",
    "conversion_report",
    "convert_to_analog",
    "convert_to_digital",
    "drift_analog_weights",
    "forget_programming",
    "load_trained_elsewhere",
    "noise_context",
    "perfect_error",
    "post_update_step",
    "program_analog_weights",
    "remap_for_programming",
    "set_modifier_strength",
    "target_conductances",
]
