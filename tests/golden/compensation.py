"""Section E: drift compensation, from given weights without randomness, and as a distribution over chips."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from simulator.config import InferenceRPUConfig
from simulator.nn import AnalogLinear, drift_analog_weights, program_analog_weights
from simulator.nn.tile import AnalogTile
from simulator.tile import ProgrammedTile
from tests.golden.common import Arrays, Case, Verdict, excess, judge, rpu_config, worst

ALPHA_RELATIVE = 2e-5
OUTPUT_RELATIVE = 1e-4
STD_RELATIVE = 0.25
SIGMAS = 5


def _layer(weight: np.ndarray, bias: np.ndarray | None, config: InferenceRPUConfig) -> AnalogLinear:
    layer = AnalogLinear(weight.shape[1], weight.shape[0], bias=bias is not None, rpu_config=config).eval()
    layer.set_weights(torch.tensor(weight), None if bias is None else torch.tensor(bias))
    return layer


def _only_tile(layer: AnalogLinear) -> AnalogTile:
    ((_, tile),) = layer.tile_slots()
    return tile


def check_exact(case: Case, arrays: Arrays) -> Verdict:
    """Baseline, factor and outputs from stored programmed and drifted weights."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    layer = _layer(inputs["W"], inputs["bias"], rpu_config(case["config"]))
    tile = _only_tile(layer)
    if inputs["out_scaling_alpha"] is not None:
        tile.out_scaling.data.copy_(torch.tensor(inputs["out_scaling_alpha"]))
    chip = tile.chip = ProgrammedTile(torch.tensor(inputs["programmed_tile_weights"]))
    chip.read_baseline(torch.tensor(inputs["reference_tile_weights"]), tile.rpu_config, tile.read_out)
    chip.weights_OI = torch.tensor(inputs["drifted_tile_weights"])
    chip.compensate(tile.rpu_config, tile.read_out)
    verdicts = [
        _relative(_value(chip.baseline), expected["drift_baseline"], "baseline"),
        _relative(_value(chip.compensation), expected["alpha"], "alpha"),
    ]
    x = torch.tensor(inputs["X"])
    with torch.no_grad():
        evaluated = layer(x).numpy()
    verdicts.append(_output(evaluated, expected["Y_eval"], "Y_eval"))
    chip.compensation = None  # what training leaves out
    with torch.no_grad():
        verdicts.append(_output(layer(x).numpy(), expected["Y_train"], "Y_train"))
    return worst(*verdicts)


def _value(tensor: torch.Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.numpy()


def _relative(ours: np.ndarray | None, reference: Any, what: str) -> Verdict:
    if reference is None or ours is None:
        neutral = reference is None or bool(np.all(np.asarray(reference) == 1.0))
        return judge(0.0 if ours is None and neutral else np.inf, 1.0, detail=what)
    values = np.broadcast_to(ours, np.shape(reference))
    return judge(excess(values, reference, ALPHA_RELATIVE * np.abs(reference)), 1.0, detail=what)


def _output(ours: np.ndarray, reference: np.ndarray, what: str) -> Verdict:
    return judge(excess(ours, reference, OUTPUT_RELATIVE * np.abs(reference).max()), 1.0, detail=what)


def check_distribution(case: Case, arrays: Arrays) -> Verdict:
    """Mean and spread of the factor over programmed instances."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    layer = _layer(inputs["W"], None, rpu_config(case["config"]))
    tile = _only_tile(layer)
    count = inputs["n_instances"]
    baselines, factors = [], {str(t): [] for t in inputs["times"]}
    for repeat in range(count):
        program_analog_weights(layer, repeat=repeat)
        baselines.append(_value(tile.chip.baseline))
        for t in inputs["times"]:
            drift_analog_weights(layer, t)
            factors[str(t)].append(_value(tile.chip.compensation))
    verdicts = [_moments(np.stack(baselines), expected["baseline"], count, "baseline")]
    verdicts += [
        _moments(np.stack(values), expected["alpha"][t], count, f"t={t}") for t, values in factors.items()
    ]
    return worst(*verdicts)


def _moments(ours: np.ndarray, reference: dict[str, Any], count: int, what: str) -> Verdict:
    mean, std = np.asarray(reference["mean"], np.float64), np.asarray(reference["std"], np.float64)
    ours = ours.reshape(count, *mean.shape)
    allowed = SIGMAS * std * np.sqrt(1 / count + 1 / count) + 1e-6 * np.abs(mean)
    return worst(
        judge(excess(ours.mean(axis=0), mean, allowed), 1.0, detail=f"mean, {what}"),
        judge(excess(ours.std(axis=0, ddof=1), std, STD_RELATIVE * std + 1e-7), 1.0, detail=f"std, {what}"),
    )
