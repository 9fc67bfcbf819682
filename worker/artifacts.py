"""The files that let a job be understood and repeated: provenance, weights tile by tile, layers' quality."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Final

import torch
from safetensors.torch import save
from torch import Tensor, nn

from simulator.nn import (
    WeightAnalysis,
    analog_state,
    analyse_layers,
    analyse_weights,
    conversion_report,
    target_conductances,
)
from simulator.numerics import NUMBERS
from worker.runner.context import ItemContext

_PACKAGES = ("torch", "numpy", "numba", "llvmlite", "onnx", "driftline")
# When weights are looked at, whatever the job evaluates: an hour, a month, a year after programming.
SHOWN_TIMES_S: Final = (3600.0, 2592000.0, 31536000.0)


def provenance(item: ItemContext, device: torch.device) -> bytes:
    """Return `provenance.json`: what decides the job's numbers, to the last bit."""
    job, dataset = item.job, item.dataset_row
    content = {
        "job": job.id,
        "seed": job.seed,
        "spec": job.spec,
        "effective_config": job.effective_config,
        "config_hash": job.config_hash,
        "model": {"id": item.model.id, "sha256": item.model.report["sha256"]},
        "dataset": {"ref": job.dataset_ref, "sha256": None if dataset is None else dataset.sha256},
        "numbers": NUMBERS,
        "execution": job.execution,
        "device": str(device),
        "versions": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": {"system": platform.system(), "architecture": platform.machine()},
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode()


def analog_state_file(model: nn.Module) -> bytes:
    """Return `analog_state.safetensors`: weights, scales and input ranges of every tile."""
    return save({name: tensor.detach().contiguous().cpu() for name, tensor in analog_state(model).items()})


def conductances_file(model: nn.Module) -> bytes:
    """Return `conductances.safetensors`: what to program; its metadata has the manifest, in JSON."""
    tensors, manifest = target_conductances(model)
    told = json.dumps(manifest, sort_keys=True, allow_nan=False)
    return save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, {"manifest": told})


def conversion_file(model: nn.Module, variant: str, inputs: tuple[Tensor, ...]) -> bytes:
    """Return `conversion.json`: layers, tiles and devices, how well each layer does, what drift makes of it.

    Afterwards, the model is programmed onto chip 0.
    """
    report, seen = conversion_report(model), {found.name: found for found in analyse_layers(model, *inputs)}
    weights = {found.name: found for found in analyse_weights(model, SHOWN_TIMES_S)}
    layers = []
    for layer in report.layers:
        entry = {**asdict(layer), "weight_range": None, "snr_db": None, "dac": None, "adc": None}
        entry["weights"] = _weights_json(weights[layer.name]) if layer.name in weights else None
        found = seen.get(layer.name)
        if found is not None:
            entry["weight_range"] = found.weight_range
            entry["snr_db"] = "inf" if found.snr_db == math.inf else found.snr_db
            entry["dac"] = None if found.dac is None else asdict(found.dac)
            entry["adc"] = None if found.adc is None else asdict(found.adc)
            entry["tiles"] = [
                {**asdict(place), **asdict(quality)}
                for place, quality in zip(layer.tiles, found.tiles, strict=True)
            ]
        layers.append(entry)
    content = {
        "variant": variant,
        "samples": len(inputs[0]),
        "tiles": report.tiles,
        "devices": report.devices,
        "utilisation": report.utilisation,
        "layers": layers,
        "digital": report.digital,
    }
    return json.dumps(content, indent=1, allow_nan=False).encode()


def _weights_json(found: WeightAnalysis) -> dict[str, Any]:
    return {
        "limit": found.target.limit,
        "bins": found.target.bins,
        "target": found.target.counts,
        "programmed": found.programmed.counts,
        "programmed_mean": found.programmed_mean,
        "programmed_std": found.programmed_std,
        "drifted": [
            {"t_inference": one.t_inference_s, "counts": one.weights.counts} for one in found.drifted
        ],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ModuleNotFoundError:
        return None
