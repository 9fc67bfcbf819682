"""The deterministic forward pass once more, in plain numpy: one vector at a time, written from the formulas.

It shares nothing with the simulator, and it says what the gradient needs. `order_dependent` reproduces the
reference's bound test without negative bound (quirk 6); our meaning is that negative hits do not count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from simulator.config import InferenceRPUConfig, IOParameters

F = np.float32
SLACK = 1 + 1e-5  # the top code is not beyond the bound


@dataclass
class Converted:
    """One vector's way through the tile: factor, converted inputs, outputs, and what was not clipped."""

    factor: float
    x: np.ndarray
    y: np.ndarray
    x_inside: np.ndarray
    y_inside: np.ndarray


def _step(res: float, bound: float) -> np.float32:
    if res <= 0 or not 0 < bound < math.inf:
        return F(0)
    return F((F(1) / F(res)) if res > 1 else F(res)) * F(2 * bound)


def _reference_bound(io: IOParameters) -> float:
    return io.out_bound if 0 < io.out_bound < math.inf else 1.0


def _scale(x: np.ndarray, io: IOParameters, worst_case: bool) -> np.float32:
    kind, threshold = io.noise_management.value, io.nm_thres
    if kind == "None":
        return F(1)
    if kind == "Constant" and not worst_case:
        return F(threshold) if threshold > 0 else F(1)
    if kind == "Max" and not worst_case:
        value = x.max()
        return F(min(value, threshold)) if threshold > 0 else F(value)
    value = F(np.abs(x).max())
    if threshold > 0:
        value = min(value, F(threshold))
    if kind == "AbsMaxNPSum" or worst_case:
        total = max(x[x > 0].sum(), -x[x < 0].sum()) * io.nm_assumed_wmax / _reference_bound(io)
        step = _step(io.inp_res, io.inp_bound)
        if step > 0:
            total = min(total, value / step * io.max_bm_res)
        value = max(value, F(total))
    return F(value)


def _pass(x: np.ndarray, weights: np.ndarray, io: IOParameters) -> np.ndarray:
    y = weights @ x
    count = x.size
    if io.ir_drop > 0:
        a = (np.abs(weights) @ np.abs(x)) * F(count / io.ir_drop_g_ratio)
        c = a * (a * (F(0.05) * a - F(0.2)) + F(0.5))
        far = x * (1 - (1 - np.arange(count, dtype=F) / count) ** 2)
        y = y - F(io.ir_drop) * c * (weights @ far.astype(F))
    if io.r_series > 0:
        ref = F(-io.v_offset_w_min) * x.sum()

        def saturate(u: np.ndarray) -> np.ndarray:
            return u / (1 + F(io.r_series) * np.abs(u))

        y = saturate(y + ref) - saturate(ref)
    return y


def _adc(y: np.ndarray, io: IOParameters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rounded values before clipping, the clipped ones, and which were within the bound."""
    bound = io.out_bound if io.out_bound > 0 else math.inf
    slope = max(io.out_nonlinearity, 0.0) / _reference_bound(io)
    calibrated = io.slope_calibration > 0 and (slope > 0 or io.r_series > 0)
    gain = (
        (1 + (slope + io.r_series) * io.slope_calibration * _reference_bound(io)) ** 2 if calibrated else 1.0
    )
    y = F(gain) * y / (1 + np.abs(F(slope) * y))
    if io.out_asymmetry > 0:
        y = np.where(y < 0, y * F(1 - io.out_asymmetry), y)
    step = _step(io.out_res, bound)
    rounded = np.rint(y / step) * step if step > 0 else y
    return rounded, np.clip(rounded, F(-bound), F(bound)), _inside(y, rounded, bound)


def _inside(values: np.ndarray, rounded: np.ndarray, bound: float) -> np.ndarray:
    """Which values are within the bound themselves, or are rounded to a code within it."""
    return (np.abs(values) <= bound * SLACK) | (np.abs(rounded) <= bound * SLACK)


def _round(
    x: np.ndarray, scale: np.float32, weights: np.ndarray, io: IOParameters
) -> tuple[Converted, list[np.ndarray]]:
    bound = io.inp_bound if io.inp_bound > 0 else math.inf
    scaled = x / scale
    step = _step(io.inp_res, bound)
    converted = np.rint(scaled / step) * step if step > 0 else scaled
    x_inside = _inside(scaled, converted, bound)
    converted = np.clip(converted, F(-bound), F(bound))
    converted = np.where(converted < 0, converted * F(1 - io.inp_asymmetry), converted).astype(F)
    parts = [converted]
    if io.mv_type.value.startswith("PosNeg"):
        parts = [np.minimum(converted, F(0)), np.maximum(converted, F(0))]
    currents = [_pass(part, weights, io) for part in parts]
    if io.mv_type.value != "PosNegSeparateDigitalSum":
        currents = [np.sum(currents, axis=0)]
    converted_outputs = [_adc(current.astype(F), io) for current in currents]
    y = np.sum([clipped for _, clipped, _ in converted_outputs], axis=0)
    inside = np.all([within for *_, within in converted_outputs], axis=0)
    return (
        Converted(float(scale), converted, y, x_inside, inside),
        [rounded for rounded, *_ in converted_outputs],
    )


def _hit(rounded: list[np.ndarray], io: IOParameters, order_dependent: bool) -> bool:
    bound = F(io.out_bound)
    if io.bm_test_negative_bound:
        return any(np.any(np.abs(values) > bound) for values in rounded)
    if not order_dependent:
        return any(np.any(values > bound) for values in rounded)
    hit = False
    for value in np.concatenate(rounded):
        if value > bound:
            hit = True
        elif value < -bound:
            hit = False
    return hit


def convert_vector(
    x: np.ndarray, weights: np.ndarray, config: InferenceRPUConfig, *, order_dependent: bool = False
) -> Converted:
    """Run one input vector through a tile; `y` is the digital output, `factor` what scaled it."""
    io, x, weights = config.forward, x.astype(F), weights.astype(F)
    everywhere = np.ones(x.shape, bool), np.ones(weights.shape[0], bool)
    if io.is_perfect or io.mv_type.value == "Ideal":
        return Converted(io.out_scale, x, (weights @ x) * F(io.out_scale), *everywhere)
    scale = _scale(x, io, worst_case=False)
    if scale <= 0:
        return Converted(0.0, np.zeros_like(x), np.zeros(weights.shape[0], F), *everywhere)
    managed = io.bound_management.value != "None" and 0 < io.out_bound < math.inf
    worst_case = io.bound_management.value == "IterativeWorstCase"
    step, reduction = _step(io.inp_res, io.inp_bound), 1.0
    while True:
        result, rounded = _round(x, F(scale * F(reduction)), weights, io)
        exhausted = reduction > io.max_bm_factor or (step > 0 and reduction > io.max_bm_res / step)
        if not managed or exhausted or not _hit(rounded, io, order_dependent):
            break
        if worst_case:
            worst_case = False
            if io.noise_management.value != "None":
                scale = _scale(x, io, worst_case=True)
        else:
            reduction *= 2
    result.factor *= io.out_scale
    result.y = result.y * F(result.factor)
    return result


def forward(
    x: np.ndarray, weights: np.ndarray, config: InferenceRPUConfig, *, order_dependent: bool = False
) -> np.ndarray:
    """Return the tile's output for vectors in rows."""
    return np.stack([convert_vector(row, weights, config, order_dependent=order_dependent).y for row in x])
