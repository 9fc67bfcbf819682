"""Exported models, made once: the current exporter takes seconds."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.simulator.onnx.networks import EXAMPLES, trained_looking

_BATCH = {0: "batch"}
EXPORTERS = {
    # the older exporter: evaluation mode folds BatchNorm, PRESERVE keeps it
    "legacy": {"dynamo": False, "opset_version": 14, "dynamic_axes": {"x": _BATCH}},
    "legacy_fixed_batch": {"dynamo": False, "opset_version": 16},
    "legacy_preserve": {
        "dynamo": False,
        "opset_version": 17,
        "training": torch.onnx.TrainingMode.PRESERVE,
        "do_constant_folding": False,
        "dynamic_axes": {"x": _BATCH},
    },
    # the current exporter, whose default folds BatchNorm and fixes the batch size
    "dynamo": {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("batch")},)},
    "dynamo_fixed_batch": {"dynamo": True},
    "dynamo_unoptimised": {"dynamo": True, "optimize": False},
    "dynamo_opset_23": {"dynamo": True, "opset_version": 23},
}


def quiet_export(network: nn.Module, example: torch.Tensor, target, **options) -> None:
    """Run torch's exporter without its messages and warnings."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    if options["dynamo"]:
        options["verbose"] = False
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(network, (example,), target, input_names=["x"], output_names=["y"], **options)
    finally:
        logging.disable(level)


@cache
def export(network: type[nn.Module], exporter: str) -> bytes:
    """Return the bytes that an exporter makes of a network."""
    options = dict(EXPORTERS[exporter])
    if options["dynamo"]:
        options["external_data"] = False
    buffer = io.BytesIO()
    quiet_export(trained_looking(network), EXAMPLES[network], buffer, **options)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def single_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run_reference(data: bytes, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return what onnxruntime computes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, inputs)
