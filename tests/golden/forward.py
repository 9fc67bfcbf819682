"""Section A: the deterministic forward pass, of one tile and of whole layers."""

from __future__ import annotations

import numpy as np
import torch

from simulator import nn as analog
from simulator.config import InferenceRPUConfig
from simulator.tile import analog_product, compile_plan
from simulator.tile.forward import vector_scales
from tests.golden import oracle
from tests.golden.common import Arrays, Case, Verdict, excess, judge, rpu_config, worst

RELATIVE, ABSOLUTE = 1e-5, 1e-6
SUM_OF_TILES_RELATIVE = 2e-5
NEGATIVE_BOUND_QUIRK = 6
BIAS_RANGE_QUIRK = 56


def check_tile(case: Case, arrays: Arrays) -> Verdict:
    """One matrix-vector product without randomness, compared with the C++ tile."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    config = rpu_config(case["config"])
    plan = compile_plan(config.forward)
    x, weights = torch.tensor(inputs["X"]), torch.tensor(inputs["W"])
    ours = analog_product(x, weights, plan).numpy()
    reference = expected["Y"]
    if ours.shape != reference.shape:
        return judge(np.inf, 1.0, detail=f"shape {ours.shape}, expected {reference.shape}")
    allowed = RELATIVE * np.abs(reference).max(axis=-1, keepdims=True) + ABSOLUTE
    relative = np.abs(ours - reference) / allowed
    for row, column in case["ambiguous"]:
        scale = (
            plan.static_scale
            if plan.vector_scale is None
            else float(vector_scales(x[row : row + 1], plan.vector_scale))
        )
        one_code = plan.adc.step * scale * plan.out_scale * 1.001
        if abs(ours[row, column] - reference[row, column]) <= one_code:
            relative[row, column] = 0.0
    verdict = judge(float(relative.max(initial=0.0)), 1.0)
    if verdict.ok or config.forward.bm_test_negative_bound or plan.bound_management is None:
        return verdict
    return _check_positive_bound_only(ours, reference, inputs, config)


def _check_positive_bound_only(
    ours: np.ndarray, reference: np.ndarray, inputs: dict[str, np.ndarray], config: InferenceRPUConfig
) -> Verdict:
    """Our meaning: negative hits never count, whatever the order of the outputs; the reference's: they erase."""
    meant = oracle.forward(inputs["X"], inputs["W"], config)
    recorded = oracle.forward(inputs["X"], inputs["W"], config, order_dependent=True)
    allowed = RELATIVE * np.abs(meant).max(axis=-1, keepdims=True) + ABSOLUTE
    return worst(
        judge(excess(ours, meant, allowed), 1.0, quirk=NEGATIVE_BOUND_QUIRK),
        judge(
            excess(recorded, reference, allowed), 1.0, quirk=NEGATIVE_BOUND_QUIRK, detail="reference's rule"
        ),
    )


def check_layer(case: Case, arrays: Arrays) -> Verdict:
    """A whole layer in evaluation, with its mapping: output, tile weights and scales."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    config = rpu_config(case["config"])
    layer = _build(inputs, config)
    with torch.no_grad():
        ours = layer(torch.tensor(inputs["X"])).numpy()
    reference = expected["Y"]
    allowed = SUM_OF_TILES_RELATIVE * np.abs(reference).max() + ABSOLUTE
    if not config.mapping.digital_bias and inputs["bias_flag"] and config.pre_post.input_range.enable:
        return _check_bias_with_range(ours, inputs, config)
    mapping = worst(
        *(
            _check_mapping(layer, slot, tile, *of_tile)
            for (slot, tile), *of_tile in zip(
                layer.tile_slots(), expected["tile_weights"], expected["mapping_scales"], strict=True
            )
        )
    )
    return worst(judge(excess(ours, reference, allowed), 1.0, detail="Y"), mapping)


def _build(inputs: dict[str, object], config: InferenceRPUConfig) -> analog.AnalogLayer:
    kind = getattr(analog, str(inputs["layer"]).removesuffix("Mapped"))
    layer = kind(**inputs["args"], bias=inputs["bias_flag"], rpu_config=config).eval()
    weight = torch.tensor(inputs["W"]).reshape(layer.weight.shape)
    layer.set_weights(weight, torch.tensor(inputs["bias"]) if inputs["bias_flag"] else None)
    if inputs["out_scaling_alpha"] is not None:
        scales = inputs["out_scaling_alpha"]
        for slot, tile in layer.tile_slots():
            values = torch.tensor(scales).reshape(-1)
            tile.out_scaling.data.copy_(values[slot.outputs] if tile.out_scaling.numel() > 1 else values)
    return layer


def _check_mapping(layer, slot, tile, weights, scale) -> Verdict:  # type: ignore[no-untyped-def]
    ours = tile.target_weights(layer.logical_block(slot)).detach().numpy()
    verdict = judge(excess(ours, weights, 1e-6), 1.0, detail="tile weights")
    if scale is None:
        return verdict
    own = tile.mapping_scale.numpy()
    return worst(
        verdict, judge(excess(np.broadcast_to(own, np.shape(scale)), scale, 1e-6), 1.0, detail="scales")
    )


def _check_bias_with_range(
    ours: np.ndarray, inputs: dict[str, object], config: InferenceRPUConfig
) -> Verdict:
    """Our meaning: the bias column's input is one, like every input clipped and divided by the range."""
    plan = compile_plan(config.forward)
    limit = config.pre_post.input_range.init_value
    x, weights = torch.tensor(inputs["X"]), torch.tensor(inputs["W"])
    columns = torch.cat([weights.flatten(1), torch.tensor(inputs["bias"])[:, None]], dim=1)
    vectors = torch.cat([x, torch.ones(*x.shape[:-1], 1)], dim=-1).clamp(-limit, limit) / limit
    meant = (analog_product(vectors, columns, plan) * limit).numpy()
    allowed = SUM_OF_TILES_RELATIVE * np.abs(meant).max() + ABSOLUTE
    return judge(excess(ours, meant, allowed), 1.0, quirk=BIAS_RANGE_QUIRK)
