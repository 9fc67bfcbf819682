"""Section F, clip and remap: one step after an update on given weights and scales. Exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from simulator.config import InferenceRPUConfig
from simulator.tile import clip_weights, remap_scales
from tests.golden.common import Arrays, Case, Verdict, excess, is_torch_tile, judge, rpu_config, worst

TOLERANCE = 1e-6
NOT_IN_TORCH_TILE_QUIRK = 22
FIXED_VALUE_QUIRK = 35
REMAP_QUIRK = 36


def check(case: Case, arrays: Arrays) -> Verdict:
    """Compare weights and scales after the step."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    config = rpu_config(case["config"])
    ours = _step(inputs["W"], inputs["scales"], config)
    if "error" not in expected:
        verdict = _compare(ours, (expected["W_after"], expected["scales_after"]), None)
        if verdict.ok:
            return verdict
    quirk = _quirk(case, expected)
    return verdict if quirk is None else _compare(ours, _meant(inputs["W"], inputs["scales"], config), quirk)


def _step(
    weights: np.ndarray, scales: np.ndarray | None, config: InferenceRPUConfig
) -> tuple[np.ndarray, np.ndarray | None]:
    after = clip_weights(torch.tensor(weights), config.clip)
    if scales is None:
        return after.numpy(), None
    before = torch.tensor(scales)
    new = remap_scales(after, before, config.remap)
    return (after * (before / new).unsqueeze(1)).numpy(), new.numpy()


def _compare(
    ours: tuple[np.ndarray, np.ndarray | None], reference: tuple[np.ndarray, Any], quirk: int | None
) -> Verdict:
    verdict = judge(excess(ours[0], reference[0], TOLERANCE), 1.0, quirk=quirk, detail="weights")
    if ours[1] is None:
        return verdict
    return worst(verdict, judge(excess(ours[1], reference[1], TOLERANCE), 1.0, quirk=quirk, detail="scales"))


def _quirk(case: Case, expected: dict[str, Any]) -> int | None:
    if not is_torch_tile(case):
        return None
    if "error" in expected:
        return NOT_IN_TORCH_TILE_QUIRK
    if case["kind"] == "remap":
        return REMAP_QUIRK
    clip = case["config"].get("clip", {})
    return (
        FIXED_VALUE_QUIRK if clip.get("type") == "FixedValue" and clip.get("fixed_value", -1) <= 0 else None
    )


def _meant(
    weights: np.ndarray, scales: np.ndarray | None, config: InferenceRPUConfig
) -> tuple[np.ndarray, np.ndarray | None]:
    """The closed form, in numpy."""
    w = weights.astype(np.float64)
    clip, remap = config.clip, config.remap
    limit = {
        "LayerGaussian": lambda: clip.sigma * w.std(ddof=1),
        "AverageChannelMax": lambda: np.abs(w).max(axis=1).mean(),
    }.get(clip.type.value, lambda: np.inf)()
    if clip.type.value != "None" and clip.fixed_value > 0:
        limit = min(limit, clip.fixed_value)
    w = np.clip(w, -limit, limit)
    if scales is None:
        return w, None
    maxima = np.abs(w).max(axis=1)
    factor = np.where(maxima > 0, maxima, remap.remapped_wmax) / remap.remapped_wmax
    if remap.type.value == "LayerwiseSymmetric":
        factor = np.full(maxima.shape, maxima.max() / remap.remapped_wmax)
    new = scales * factor
    if remap.max_scale_range > 0:
        new = np.minimum(new, remap.max_scale_range * max(scales.min(), remap.max_scale_ref))
    return w * (scales / new)[:, None], new
