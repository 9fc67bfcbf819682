"""Section A: the deterministic forward pass, of one tile and of whole layers."""

from __future__ import annotations

import numpy as np
import torch

from simulator.tile import analog_product, compile_plan
from simulator.tile.forward import vector_scales
from tests.golden.common import Arrays, Case, Verdict, judge, rpu_config

RELATIVE, ABSOLUTE = 1e-5, 1e-6
OFF_GRID_FRACTION = 1e-3


def check_tile(case: Case, arrays: Arrays) -> Verdict:
    """One matrix-vector product without randomness, compared with the C++ tile."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    plan = compile_plan(rpu_config(case["config"]).forward)
    x, weights = torch.tensor(inputs["X"]), torch.tensor(inputs["W"])
    ours = analog_product(x, weights, plan).numpy()
    reference = expected["Y"]
    if ours.shape != reference.shape:
        return judge(np.inf, 1.0, detail=f"shape {ours.shape}, expected {reference.shape}")
    allowed = RELATIVE * np.abs(reference).max(axis=-1, keepdims=True) + ABSOLUTE
    relative = np.abs(ours - reference) / allowed
    for row, column in case["ambiguous"]:
        scale = (
            float(vector_scales(x[row : row + 1], plan)) if plan.static_scale is None else plan.static_scale
        )
        one_code = plan.out_step * scale * plan.out_scale * 1.001
        if abs(ours[row, column] - reference[row, column]) <= one_code:
            relative[row, column] = 0.0
    return judge(float(relative.max(initial=0.0)), 1.0)
