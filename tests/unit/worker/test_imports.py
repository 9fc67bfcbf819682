"""A runner is a fork of the zygote: what its work imports, every work item waits for."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import importlib, sys
import torch
from worker.supervision.zygote import _PRELOAD
for name in _PRELOAD:
    importlib.import_module(name)
before = set(sys.modules)
from simulator.config import resolve
from simulator.nn import convert_to_analog, drift_analog_weights, program_analog_weights
plain = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3), torch.nn.Flatten(), torch.nn.Linear(288, 4))
torch.nn.init.ones_(plain[0].weight)  # outputs beyond the bound
for name in ("PCMExamplePreset", "StandardHWATrainingPreset"):
    model = convert_to_analog(plain, resolve({"preset": name})).eval()
    program_analog_weights(model)
    drift_analog_weights(model, 3600.0)
    model(torch.ones(8, 4, 8, 8))
    model.train()(torch.ones(8, 4, 8, 8)).sum().backward()
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""


def test_what_a_runner_needs_was_imported_by_the_zygote():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {"torch", "encodings"}
