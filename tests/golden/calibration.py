"""Section G: input ranges calibrated on a two-layer network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from simulator.config import InferenceRPUConfig
from simulator.nn import AnalogLayer, analog_layers, calibrate_input_ranges, convert_to_analog
from tests.golden import oracle
from tests.golden.common import Arrays, Case, Verdict, excess, judge, rpu_config, worst

RELATIVE = 1e-4
MOVING_RELATIVE = 1e-3
SIGNED_QUANTILE_QUIRK = 61
SUBSAMPLE_SEEDS = 100
SIGMAS = 5


def check(case: Case, arrays: Arrays) -> Verdict:
    """Compare ranges, what became of noise management, and the output of the first batch."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    config = rpu_config(case["config"])
    if "mean" in expected:
        return _check_subsampled(inputs, expected, config)
    model = _network(inputs, config)
    _calibrate(model, inputs)
    layers = [layer for _, layer in analog_layers(model)]
    ours = _ranges(layers)
    with torch.no_grad():
        output = model(torch.tensor(inputs["X"][1])).numpy()
    verdict = worst(
        _settings(layers, expected),
        _close(ours, expected["input_ranges"], inputs, "ranges"),
        _one_code(output, expected["Y_batch1_after"], layers, "output"),
    )
    if verdict.ok or "Quantile" not in inputs["calibration_type"] or inputs["quantile"] == 1:
        return verdict
    meant = _meant(inputs, config)
    return worst(_settings(layers, expected), _close(ours, meant, inputs, "ranges", SIGNED_QUANTILE_QUIRK))


def _network(inputs: dict[str, Any], config: InferenceRPUConfig) -> nn.Module:
    first = nn.Linear(*inputs["W1"].shape[::-1])
    second = nn.Linear(*inputs["W2"].shape[::-1])
    for layer, weight, bias in ((first, "W1", "b1"), (second, "W2", "b2")):
        layer.weight.data, layer.bias.data = torch.tensor(inputs[weight]), torch.tensor(inputs[bias])
    return convert_to_analog(nn.Sequential(first, nn.ReLU(), second), config).eval()


def _calibrate(model: nn.Module, inputs: dict[str, Any], seed: int = 0) -> None:
    calibrate_input_ranges(
        model,
        list(torch.tensor(inputs["X"])),
        method=inputs["calibration_type"],
        quantile=inputs["quantile"],
        std_alpha=inputs["std_alpha"],
        max_samples=inputs["max_samples"],
        seed=seed,
    )


def _ranges(layers: list[AnalogLayer]) -> np.ndarray:
    return np.array([float(tile.input_range.detach()) for layer in layers for _, tile in layer.tile_slots()])


def _settings(layers: list[AnalogLayer], expected: dict[str, Any]) -> Verdict:
    plans = [tile.plan for layer in layers for _, tile in layer.tile_slots()]
    same = all(
        (plan.static_scale == 1) == (expected["noise_management_after"] == "None")
        and plan.is_perfect == expected["is_perfect_after"]
        for plan in plans
    )
    return judge(0.0 if same else np.inf, 1.0, detail="settings after calibration")


def _close(
    ours: np.ndarray, reference: np.ndarray, inputs: dict[str, Any], what: str, quirk: int | None = None
) -> Verdict:
    relative = MOVING_RELATIVE if inputs["calibration_type"].startswith("Moving") else RELATIVE
    return judge(excess(ours, reference, relative * np.abs(reference)), 1.0, quirk=quirk, detail=what)


def _one_code(ours: np.ndarray, reference: np.ndarray, layers: list[AnalogLayer], what: str) -> Verdict:
    """Ranges that differ in the last digits may move single outputs by a code of the ADC."""
    ((_, tile),) = layers[-1].tile_slots()
    code = 1.01 * tile.plan.adc.step * float(tile.input_range.detach())
    relative = np.abs(ours - reference) > RELATIVE * np.abs(reference).max()
    jumped = judge(float(relative.mean()) / 0.02, 1.0, detail=f"share of {what}s that moved by a code")
    return worst(judge(excess(ours, reference, code), 1.0, detail=what), jumped)


def _meant(inputs: dict[str, Any], config: InferenceRPUConfig) -> np.ndarray:
    """Our meaning: quantiles are of |x|; everything else as the reference."""
    moving = inputs["calibration_type"] == "MovingQuantile"
    limit = config.pre_post.input_range.init_value
    rows_1, rows_2, ranges = [], [], np.zeros(2)
    static = config.model_copy(deep=True)
    static.forward.noise_management = "None"
    for index, batch in enumerate(inputs["X"]):
        kept = batch[(batch != 0).any(axis=1)]
        if moving:
            ranges[0] = (ranges[0] * index + np.quantile(np.abs(kept), inputs["quantile"])) / (index + 1)
            limit = np.float32(ranges[0])
            tile = oracle.forward(np.clip(batch, -limit, limit) / limit, inputs["W1"], static) * limit
        else:
            tile = np.clip(batch, -limit, limit) @ inputs["W1"].T
        hidden = np.maximum(tile + inputs["b1"], 0)
        hidden = hidden[(hidden != 0).any(axis=1)]
        if moving:
            ranges[1] = (ranges[1] * index + np.quantile(hidden, inputs["quantile"])) / (index + 1)
        rows_1.append(kept)
        rows_2.append(hidden)
    if moving:
        return ranges
    return np.array(
        [np.quantile(np.abs(np.concatenate(rows)), inputs["quantile"]) for rows in (rows_1, rows_2)]
    )


def _check_subsampled(
    inputs: dict[str, Any], expected: dict[str, Any], config: InferenceRPUConfig
) -> Verdict:
    """A cache smaller than the data is a random sample: compare mean and deviation over seeds."""
    ranges = []
    for seed in range(SUBSAMPLE_SEEDS):
        model = _network(inputs, config)
        _calibrate(model, inputs, seed)
        ranges.append(_ranges([layer for _, layer in analog_layers(model)]))
    ours = np.array(ranges)
    recorded = _sampled(ours, expected["mean"], expected["std"], expected["n"], None)
    if recorded.ok:
        return recorded
    mean, std = _meant_of_samples(inputs, config)
    return _sampled(ours, mean, std, SUBSAMPLE_SEEDS, SIGNED_QUANTILE_QUIRK)


def _sampled(ours: np.ndarray, mean: np.ndarray, std: np.ndarray, count: int, quirk: int | None) -> Verdict:
    allowed = SIGMAS * std * np.sqrt(1 / len(ours) + 1 / count)
    return worst(
        judge(excess(ours.mean(axis=0), mean, allowed), 1.0, quirk=quirk, detail="mean"),
        judge(excess(ours.std(axis=0, ddof=1), std, 0.5 * std), 1.0, quirk=quirk, detail="std"),
    )


def _meant_of_samples(inputs: dict[str, Any], config: InferenceRPUConfig) -> tuple[np.ndarray, np.ndarray]:
    """The same sampling in numpy, of |x|."""
    rng = np.random.default_rng(5)
    limit, results = config.pre_post.input_range.init_value, []
    hidden = [np.maximum(np.clip(x, -limit, limit) @ inputs["W1"].T + inputs["b1"], 0) for x in inputs["X"]]
    for _ in range(SUBSAMPLE_SEEDS):
        quantiles = []
        for batches in (inputs["X"], hidden):
            cache = np.empty((0, batches[0].shape[1]))
            for batch in batches:
                cache = np.concatenate([cache, batch[(batch != 0).any(axis=1)]])
                cache = cache[rng.permutation(len(cache))[: inputs["max_samples"]]]
            quantiles.append(np.quantile(np.abs(cache), inputs["quantile"]))
        results.append(quantiles)
    values = np.array(results)
    return values.mean(axis=0), values.std(axis=0, ddof=1)
