"""Section F, gradients and the learning of input ranges.

Our gradients are those of the mathematical forward pass with straight-through rounding; the two reference
tiles each depart from that in their own ways (docs/quirks.md 18, 23 to 28). Where a recorded gradient is not
ours, the same quantity is checked against the closed form written here in numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from simulator.config import InferenceRPUConfig
from simulator.nn import AnalogLinear
from simulator.nn.tile import AnalogTile
from tests.golden import oracle
from tests.golden.common import Arrays, Case, Verdict, excess, is_torch_tile, judge, rpu_config, worst

RELATIVE = 1e-4
LEARNING_RELATIVE = 1e-3

PER_BATCH_QUIRK = 18
NOT_IN_TORCH_TILE_QUIRK = 29
INPUT_MASK_QUIRK = 23
OUTPUT_MASK_QUIRK = 24
ABS_MAX_QUIRK = 25
WEIGHT_GRADIENT_QUIRK = 26
RANGE_GRADIENT_QUIRK = 28

Gradients = dict[str, np.ndarray]


def check(case: Case, arrays: Arrays) -> Verdict:
    """One backward pass: gradients of input, weights, bias, input range and learned output scales."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    config = rpu_config(case["config"])
    layer, tile = _layer(inputs["W"], config)
    ours = _backward(layer, tile, inputs["X"], inputs["dY"])
    meant = _meant(inputs, tile, config)
    verdicts = []
    for name, value in ours.items():
        recorded = expected.get(name)
        if "error" not in expected and (recorded is not None) != (value is not None):
            return judge(np.inf, 1.0, detail=f"{name} exists in one of both only")
        verdict = None if recorded is None else _close(value, recorded, name)
        if verdict is None or not verdict.ok:
            quirk = _quirk(case, name, inputs, config, expected, tile=tile)
            if quirk is None:
                return verdict or judge(np.inf, 1.0, detail=name)
            verdict = _close(value, meant[name], name, quirk)
        verdicts.append(verdict)
    return worst(*verdicts)


def _layer(weights: np.ndarray, config: InferenceRPUConfig) -> tuple[AnalogLinear, AnalogTile]:
    layer = AnalogLinear(weights.shape[1], weights.shape[0], rpu_config=config).train()
    layer.set_weights(torch.tensor(weights), torch.zeros(weights.shape[0]))
    ((_, tile),) = layer.tile_slots()
    return layer, tile


def _backward(layer: AnalogLinear, tile: AnalogTile, x: np.ndarray, dy: np.ndarray) -> Gradients:
    x_leaf = torch.tensor(x, requires_grad=True)
    y = layer(x_leaf)
    y.backward(torch.tensor(dy))
    logical = layer.weight.grad.numpy()
    scale = 1.0 if tile.mapping_scale is None else tile.mapping_scale.numpy().reshape(-1, 1)
    result = {
        "Y": y.detach().numpy(),
        "dX": x_leaf.grad.numpy(),
        "dW_tile": logical / scale,  # the reference's convention, quirk 26
        "dbias": layer.bias.grad.numpy(),
    }
    if isinstance(tile.input_range, torch.nn.Parameter):
        result["d_input_range"] = tile.input_range.grad.numpy()
    if tile.out_scaling is not None:
        result["d_out_scaling_alpha"] = tile.out_scaling.grad.numpy()
    return result


def _close(ours: np.ndarray, reference: np.ndarray, what: str, quirk: int | None = None) -> Verdict:
    allowed = RELATIVE * np.abs(reference).max() + 1e-6
    return judge(excess(ours, np.reshape(reference, np.shape(ours)), allowed), 1.0, quirk=quirk, detail=what)


def _quirk(
    case: Case,
    name: str,
    inputs: dict[str, Any],
    config: InferenceRPUConfig,
    expected: dict[str, Any],
    *,
    tile: AnalogTile,
) -> int | None:
    """Which quirk explains that this quantity was recorded differently; None if nothing does."""
    io, torch_tile = config.forward, is_torch_tile(case)
    if "error" in expected:
        managed = config.pre_post.input_range.manage_output_clipping
        return NOT_IN_TORCH_TILE_QUIRK if torch_tile and managed else None
    per_batch = torch_tile and io.bound_management.value != "None"
    if per_batch and name in ("Y", "dX", "dW_tile", "d_out_scaling_alpha"):
        return PER_BATCH_QUIRK
    if name == "dX" and torch_tile and io.noise_management.value.startswith("AbsMax"):
        return ABS_MAX_QUIRK
    if name == "d_input_range" and torch_tile:
        return RANGE_GRADIENT_QUIRK
    if torch_tile:
        return None
    limit = config.pre_post.input_range.init_value if config.pre_post.input_range.enable else io.inp_bound
    if name in ("dX", "d_input_range") and _reaches_the_bound(expected["Y"], tile, config):
        return OUTPUT_MASK_QUIRK
    if name == "dX" and np.any(np.abs(inputs["X"]) > limit):
        return INPUT_MASK_QUIRK
    return WEIGHT_GRADIENT_QUIRK if name == "dW_tile" else None


def _reaches_the_bound(y: np.ndarray, tile: AnalogTile, config: InferenceRPUConfig) -> bool:
    """Whether the tile's own output does, before mapping scale, input range and learned scale."""
    scale = tile.output_scale()
    own = y if scale is None else y / scale.detach().numpy()
    return bool(np.any(np.abs(own) >= 0.999 * config.forward.out_bound * config.forward.out_scale))


def _meant(inputs: dict[str, Any], tile: AnalogTile, config: InferenceRPUConfig) -> Gradients:
    """The gradients of the mathematical forward pass, vector by vector."""
    x, dy, options = inputs["X"], inputs["dY"], config.pre_post.input_range
    limit = options.init_value if options.enable else np.inf
    normaliser = limit if options.enable else 1.0
    alpha = np.ones(dy.shape[1])
    if tile.mapping_scale is not None:
        alpha = np.broadcast_to(tile.mapping_scale.numpy(), alpha.shape)
    weights = inputs["W"] / alpha[:, None]
    runs = [oracle.convert_vector(np.clip(row, -limit, limit) / normaliser, weights, config) for row in x]
    factor = np.array([run.factor for run in runs])[:, None]
    arriving = dy * alpha * np.stack([run.y_inside for run in runs])
    d_input = (arriving * config.forward.out_scale) @ weights
    learned = np.stack([run.y for run in runs]) * alpha * normaliser
    result = {
        "Y": learned,
        "dX": d_input * np.stack([run.x_inside for run in runs]) * (np.abs(x) <= limit),
        "dW_tile": (arriving * factor).T
        @ np.stack([run.x for run in runs])
        * normaliser
        / alpha[:, None] ** 2,
        "dbias": dy.sum(axis=0),
        "d_out_scaling_alpha": (dy * learned).sum(axis=0),
    }
    if options.enable:
        unclipped = d_input * np.stack([run.x_inside for run in runs])
        y_clipped = 1 - np.stack([run.y_inside for run in runs]).mean()
        result["d_input_range"] = np.array([_range_rule(x, unclipped, limit, config, y_clipped)])
    return result


def _range_rule(
    x: np.ndarray, d: np.ndarray, limit: float, config: InferenceRPUConfig, clipped_share: float = 0.0
) -> float:
    """The learning rule of the input range, as a formula."""
    options = config.pre_post.input_range
    gradient = np.minimum(d, 0)[x >= limit].sum() - np.maximum(d, 0)[x <= -limit].sum()
    gradient *= (limit if options.gradient_relative else 1.0) * options.gradient_scale
    if options.manage_output_clipping and 1 - clipped_share < options.output_min_percentage:
        gradient -= clipped_share * limit
    if options.decay > 0 and np.mean(np.abs(x) < limit) > options.input_min_percentage:
        gradient += options.decay * limit
    return float(gradient)


def check_range_learning(case: Case, arrays: Arrays) -> Verdict:
    """A few steps of plain gradient descent on the input range alone."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    config = rpu_config(case["config"])
    layer, tile = _layer(inputs["W"], config)
    recorded, meant = [], []
    for step, (x, dy) in enumerate(zip(inputs["X"], inputs["dY"], strict=True)):
        if is_torch_tile(case):  # its own gradients led elsewhere: compare step by step
            tile.input_range.data.fill_(expected["value_before"][step])
        layer.zero_grad()
        gradient = float(_backward(layer, tile, x, dy)["d_input_range"][0])
        used = float(tile.input_range.detach())
        with torch.no_grad():
            tile.input_range -= inputs["lr"] * tile.input_range.grad
        recorded += [
            _learned(gradient, expected["grad"][step], f"gradient {step}"),
            _learned(used, expected["value_used"][step], f"range {step}"),
            _learned(float(tile.input_range.detach()), expected["value_after"][step], f"after {step}"),
        ]
        d = dy @ inputs["W"]
        if not is_torch_tile(case):
            continue
        rule = _range_rule(x, d, used, config)
        meant += [_learned(gradient, rule, f"gradient {step}", RANGE_GRADIENT_QUIRK), recorded[-2]]
    verdict = worst(*recorded)
    return worst(*meant) if meant and not verdict.ok else verdict


def _learned(ours: float, reference: float, what: str, quirk: int | None = None) -> Verdict:
    figure = excess(ours, reference, LEARNING_RELATIVE * abs(reference) + 1e-6)
    return judge(figure, 1.0, quirk=quirk, detail=what)
