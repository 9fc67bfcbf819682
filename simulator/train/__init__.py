"""Hardware-aware fine-tuning: train through the analog forward pass, update the clean weights."""

from simulator.train.loop import EpochReport, NonFiniteLossError, SingleSampleError, finetune
from simulator.train.validation import VALIDATION_INSTANCES, VALIDATION_T_INFERENCE_S

__all__ = [
    "VALIDATION_INSTANCES",
    "VALIDATION_T_INFERENCE_S",
    "EpochReport",
    "NonFiniteLossError",
    "SingleSampleError",
    "finetune",
]
