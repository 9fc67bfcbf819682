"""Section B: means, deviations and covariances of the stochastic forward pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from simulator.config import InferenceRPUConfig
from simulator.rng import Purpose, generator
from simulator.tile import (
    NO_SPREAD,
    ForwardPlan,
    InstanceParameters,
    analog_product,
    compile_plan,
    draw_instance,
)
from simulator.tile.forward import vector_scales
from simulator.tile.stages import OutputLine
from tests.golden.common import Arrays, Case, Verdict, excess, judge, rpu_config, worst

DRAWS = 40_000
SIGMAS = 5
QUANTISED_STD = 0.05  # of an ADC step, where the deviation is less than a step
RELATIVE = 1e-5
OFFSET_QUIRK = 4

# Our name of a parameter -> the reference's.
PARAMETERS = {
    "nonlinearity": "out_nonlinearity",
    "out_noise": "out_noise_values",
    "read_asymmetry": "w_asymmetry",
}


def check(case: Case, arrays: Arrays) -> Verdict:
    """Compare moments over fresh draws, or over chip instances with parameters of their own."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    config = rpu_config(case["config"])
    plan = compile_plan(config.forward)
    x, weights = torch.tensor(inputs["X"]), torch.tensor(inputs["W"])
    if case["over"] == "draws":
        y = _over_draws(x, weights, plan)
        return _compare(y, expected, plan, x)
    instance = draw_instance(plan, DRAWS * weights.shape[0], weights.shape[1], _stream(Purpose.INSTANCE))
    first, second = (_over_instances(x, weights, plan, instance, call) for call in (0, 1))
    verdicts = [_repeats(first, second, expected)]
    line = plan.find(OutputLine)
    if line is not None and line.offset_std > 0:
        meant = _meant_with_offset(inputs["X"], inputs["W"], config)
        return worst(*verdicts, _compare(first, meant, plan, x, OFFSET_QUIRK))
    return worst(*verdicts, _compare(first, expected, plan, x), *_parameters(instance, expected))


def _stream(purpose: Purpose, call: int = 0) -> torch.Generator:
    return generator(11, purpose, "golden", call)


def _over_draws(x: torch.Tensor, weights: torch.Tensor, plan: ForwardPlan) -> np.ndarray:
    """Return `[draws, n, out]`: every vector many times in one call."""
    y = analog_product(
        x.repeat(DRAWS, 1), weights, plan, instance=NO_SPREAD, generator=_stream(Purpose.FORWARD)
    )
    return y.reshape(DRAWS, *x.shape[:1], -1).double().numpy()


def _over_instances(
    x: torch.Tensor, weights: torch.Tensor, plan: ForwardPlan, instance: InstanceParameters, call: int
) -> np.ndarray:
    """Return `[instances, n, out]`: many copies of the outputs in one tall tile, each with its parameters."""
    stream = _stream(Purpose.FORWARD, call)
    y = analog_product(x, weights.repeat(DRAWS, 1), plan, instance=instance, generator=stream)
    return y.reshape(x.shape[0], DRAWS, -1).transpose(0, 1).double().numpy()


def _compare(
    y: np.ndarray, expected: dict[str, Any], plan: ForwardPlan, x: torch.Tensor, quirk: int | None = None
) -> Verdict:
    mean, std = np.asarray(expected["mean"], np.float64), np.asarray(expected["std"], np.float64)
    count, count_ref = len(y), expected["n_draws"]
    floor = RELATIVE * np.abs(mean).max() + 1e-6
    mean_allowed = SIGMAS * np.sqrt(np.asarray(expected["se_mean"]) ** 2 + std**2 / count) + floor
    std_allowed = SIGMAS * np.sqrt(expected["se_std_rel"] ** 2 + 1 / (2 * count)) * std + floor
    if plan.adc.step > 0:
        scale = (
            plan.static_scale if plan.vector_scale is None else vector_scales(x, plan.vector_scale).numpy()
        )
        step = plan.adc.step * plan.out_scale * scale * np.ones_like(std)
        std_allowed = np.where(std < step, np.maximum(std_allowed, QUANTISED_STD * step), std_allowed)
        mean_allowed = np.where(std < step, np.maximum(mean_allowed, QUANTISED_STD * step), mean_allowed)
    verdicts = [
        judge(excess(y.mean(axis=0), mean, mean_allowed), 1.0, quirk=quirk, detail="mean"),
        judge(excess(y.std(axis=0), std, std_allowed), 1.0, quirk=quirk, detail="std"),
    ]
    centred = y - y.mean(axis=0)
    covariance = np.einsum("dni,dnj->nij", centred, centred) / count
    reference = np.asarray(expected["cov"], np.float64)
    product = np.einsum("ni,nj->nij", std, std)
    allowed = SIGMAS * np.sqrt((product**2 + reference**2) * (1 / count + 1 / count_ref)) + floor**2
    if plan.adc.step > 0:
        allowed = allowed + (QUANTISED_STD * step.max()) ** 2
    table = 2 * SIGMAS * expected["se_std_rel"] * product  # the reference's finite noise table
    off_diagonal = ~np.eye(std.shape[1], dtype=bool)[None]
    figure = excess(covariance * off_diagonal, reference * off_diagonal, allowed + table)
    verdicts.append(judge(figure, 1.0, quirk=quirk, detail="covariance"))
    return worst(*verdicts)


def _repeats(first: np.ndarray, second: np.ndarray, expected: dict[str, Any]) -> Verdict:
    """Frozen parameters correlate the calls of an instance; fresh noise does not."""
    reference = np.asarray(expected["repeat_corr"], np.float64)
    a, b = first - first.mean(axis=0), second - second.mean(axis=0)
    spread = np.sqrt((a**2).mean(axis=0) * (b**2).mean(axis=0))
    varies = (spread > 1e-5) & np.isfinite(reference)
    correlation = np.where(varies, (a * b).mean(axis=0) / np.maximum(spread, 1e-30), 0.0)
    allowed = SIGMAS * np.sqrt(2 / len(first)) + 1e-3
    return judge(
        excess(correlation, np.where(varies, reference, 0.0), allowed), 1.0, detail="repeat correlation"
    )


def _parameters(instance: InstanceParameters, expected: dict[str, Any]) -> list[Verdict]:
    verdicts = []
    for ours, theirs in PARAMETERS.items():
        drawn, recorded = getattr(instance, ours), expected["parameters"].get(theirs)
        if drawn is None or recorded is None:
            continue
        error = SIGMAS * recorded["std"] / np.sqrt(recorded["n"]) * 2
        verdicts.append(
            judge(excess(float(drawn.mean()), recorded["mean"], error), 1.0, detail=f"mean {ours}")
        )
        verdicts.append(
            judge(
                excess(float(drawn.std()), recorded["std"], 0.02 * recorded["std"]), 1.0, detail=f"std {ours}"
            )
        )
    return verdicts


def _meant_with_offset(x: np.ndarray, weights: np.ndarray, config: InferenceRPUConfig) -> dict[str, Any]:
    """Our offsets are max(0, std N): the output is linear in the offset, so its moments are closed forms."""
    io = config.forward
    scale = np.abs(x).max(axis=1, keepdims=True) if io.noise_management.value == "AbsMax" else 1.0
    unit = (x / scale).astype(np.float64)
    y = unit @ weights.T.astype(np.float64)
    ref = -io.v_offset_w_min * unit.sum(axis=1, keepdims=True)

    def saturate(u: np.ndarray) -> np.ndarray:
        return u / (1 + io.r_series * np.abs(u))

    nominal, slope = saturate(y + ref) - saturate(ref), -(saturate(y + ref) + saturate(ref))
    mean_v = io.v_offset_std / np.sqrt(2 * np.pi)
    std_v = io.v_offset_std * np.sqrt(0.5 - 1 / (2 * np.pi))
    mean, std = (nominal + mean_v * slope) * scale, std_v * np.abs(slope) * scale
    return {
        "mean": mean,
        "std": std,
        "cov": np.einsum("ni,ij->nij", std**2, np.eye(std.shape[1])),
        "se_mean": np.zeros_like(mean),
        "se_std_rel": 0.01,  # a half-normal's fourth moment is larger than a normal's
        "n_draws": DRAWS,
    }
