"""The files that let a job be understood and repeated: its provenance, and its weights tile by tile."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version

import torch
from safetensors.torch import save
from torch import nn

from simulator.nn import analog_state
from worker.runner import Work

_PACKAGES = ("torch", "numpy", "onnx", "driftline")


def provenance(work: Work, device: torch.device) -> bytes:
    """Return `provenance.json`: what decides the job's numbers, to the last bit."""
    job, dataset = work.job, work.dataset_row
    content = {
        "job": job.id,
        "seed": job.seed,
        "spec": job.spec,
        "effective_config": job.effective_config,
        "config_hash": job.config_hash,
        "model": {"id": work.model.id, "sha256": work.model.sha256},
        "dataset": {"ref": job.dataset_ref, "sha256": None if dataset is None else dataset.sha256},
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


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ModuleNotFoundError:
        return None
