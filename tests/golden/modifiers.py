"""Section F, weight modifiers: moments over many draws, and when a draw is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats

from simulator.config import WeightModifierParameter
from simulator.nn import AnalogLinear, post_update_step
from simulator.rng import Purpose, generator
from simulator.tile import modifies, modify_weights
from tests.golden.common import Arrays, Case, Verdict, excess, is_torch_tile, judge, rpu_config, worst

SIGMAS = 5
STD_RELATIVE = 0.03
EXACT = 1e-6
TIMING_RELATIVE = 1e-5

NOT_IN_TORCH_TILE_QUIRK = 22
LATE_MODIFIER_QUIRK = 30
MULT_NORMAL_QUIRK = 31
DISCRETIZE_QUIRK = 32
NOT_IN_CPP_TILE_QUIRK = 34


@dataclass
class Moments:
    """Mean, standard deviation and share of zeros of every weight over draws.

    `std_error` is the relative standard error of the drawn standard deviation, from the draws' kurtosis.
    """

    mean: np.ndarray
    std: np.ndarray
    zero_fraction: np.ndarray
    std_error: np.ndarray | float = 0.0


def check_modifier(case: Case, arrays: Arrays) -> Verdict:
    """Compare our draws with the recorded moments, or with our own meaning where that deviates."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    modifier = rpu_config(case["config"]).modifier
    count = inputs["n_draws"]
    ours = _draw(inputs["W"], modifier, count)
    if "error" not in expected:
        reference = Moments(expected["mean"], expected["std"], expected["zero_fraction"])
        verdict = _compare(ours, reference, modifier, count)
        if verdict.ok:
            return verdict
    quirk = _quirk(case, modifier, expected)
    if quirk is None:
        return verdict
    meant = _meant(inputs["W"], modifier, count)
    return _compare(ours, meant, modifier, count, quirk)


def _draw(weights: np.ndarray, modifier: WeightModifierParameter, count: int) -> Moments:
    """Modify a tall tile of stacked copies: all have the same absolute maximum."""
    out, size = weights.shape
    stacked = torch.tensor(weights).repeat(count, 1)
    if modifier.per_batch_sample:
        drawn = modify_weights(torch.tensor(weights), modifier, _stream(), samples=count)
    elif modifies(modifier):
        drawn = modify_weights(stacked, modifier, _stream())
    else:
        drawn = stacked
    values = drawn.reshape(count, out, size).double()
    mean, std = values.mean(dim=0), values.std(dim=0)
    kurtosis = ((values - mean) / std.clamp(min=1e-30)).pow(4).mean(dim=0)
    std_error = ((kurtosis - 1).clamp(min=0) / (4 * count)).sqrt()
    zeros = (values == 0).double().mean(dim=0)
    return Moments(mean.numpy(), std.numpy(), zeros.numpy(), std_error.numpy())


def _stream() -> torch.Generator:
    return generator(7, Purpose.MODIFIER, "golden")


def _compare(
    ours: Moments, reference: Moments, modifier: WeightModifierParameter, count: int, quirk: int | None = None
) -> Verdict:
    exact = np.max(np.abs(reference.std), initial=0.0) == 0
    spread = np.asarray(reference.std, np.float64)
    mean_allowed = np.full(spread.shape, EXACT) if exact else SIGMAS * np.sqrt(2 / count) * spread + EXACT
    std_allowed = np.maximum(STD_RELATIVE, SIGMAS * np.sqrt(2) * ours.std_error) * spread + EXACT
    share = np.clip(reference.zero_fraction, 1e-3, 1 - 1e-3)
    share_allowed = SIGMAS * np.sqrt(2 * share * (1 - share) / count)
    return worst(
        judge(excess(ours.mean, reference.mean, mean_allowed), 1.0, quirk=quirk, detail="mean"),
        judge(excess(ours.std, spread, std_allowed), 1.0, quirk=quirk, detail="std"),
        judge(
            excess(ours.zero_fraction, reference.zero_fraction, share_allowed),
            1.0,
            quirk=quirk,
            detail="zeros",
        ),
    )


def _quirk(case: Case, modifier: WeightModifierParameter, expected: dict[str, Any]) -> int | None:
    kind = modifier.type.value
    if is_torch_tile(case):
        return NOT_IN_TORCH_TILE_QUIRK if "error" in expected else None
    if "error" in expected:
        return NOT_IN_CPP_TILE_QUIRK if kind == "PCMNoise" or modifier.per_batch_sample else None
    if kind == "None" and modifier.pdrop > 0:
        return NOT_IN_CPP_TILE_QUIRK
    if kind == "MultNormal":
        return MULT_NORMAL_QUIRK
    return DISCRETIZE_QUIRK if kind.startswith("Discretize") else None


def _meant(weights: np.ndarray, modifier: WeightModifierParameter, count: int) -> Moments:
    """The closed forms of our own meaning (docs/quirks.md 30 to 34)."""
    w = weights.astype(np.float64)
    w_max = np.abs(w).max() if modifier.rel_to_actual_wmax else modifier.assumed_wmax
    mean, variance, zeros = _noise_moments(w, w_max, modifier, count)
    kept = 1 - modifier.pdrop
    second = kept * (variance + mean**2)
    std = np.sqrt(np.maximum(second - (kept * mean) ** 2, 0))
    result = Moments(kept * mean, std, 1 - kept + kept * zeros)
    if modifier.copy_last_column:
        result.mean[:, -1], result.std[:, -1] = w[:, -1], 0
        result.zero_fraction[:, -1] = w[:, -1] == 0
    return result


Triple = tuple[np.ndarray, np.ndarray, np.ndarray]


def _noise_moments(w: np.ndarray, w_max: float, modifier: WeightModifierParameter, count: int) -> Triple:
    """Mean, variance and share of zeros of the noisy weights, before anything is dropped."""
    kind, spread = modifier.type.value, modifier.std_dev
    never = np.zeros(w.shape)
    if kind == "AddNormal":
        return w, np.full(w.shape, (spread * w_max) ** 2), never
    if kind == "MultNormal":
        return w, (spread * w) ** 2, w == 0
    if kind == "Discretize":
        return _rounded(w, _modifier_step(modifier, w_max), modifier.sto_round)
    if kind == "DiscretizeAddNormal":
        mean, variance, _ = _rounded(w, _modifier_step(modifier, w_max), modifier.sto_round)
        return mean, variance + (spread * w_max) ** 2, never
    if kind == "DoReFa":
        return _rounded(np.tanh(w) * modifier.dorefa_clip / np.tanh(w_max), modifier.res, modifier.sto_round)
    if kind == "PCMNoise":
        return _pcm_moments(w, w_max, modifier, count)
    if kind not in ("Poly", "ProgNoise"):
        return w, never, w == 0
    sigma = spread * w_max * np.polynomial.polynomial.polyval(np.abs(w) / w_max, modifier.coeffs)
    if kind == "Poly":
        return w, sigma**2, never
    sigma = sigma / modifier.g_max
    folded = stats.foldnorm(np.abs(w) / sigma, scale=sigma)
    return np.where(w < 0, -1, 1) * folded.mean(), folded.var(), never


def _modifier_step(modifier: WeightModifierParameter, w_max: float) -> float:
    return 2 * w_max * (1 / modifier.res if modifier.res > 1 else modifier.res)


def _rounded(values: np.ndarray, step: float, stochastic: bool) -> Triple:
    codes = values / step
    if not stochastic:
        nearest = np.sign(codes) * np.floor(np.abs(codes) + 0.5)
        return nearest * step, np.zeros(values.shape), nearest == 0
    rest = codes - np.floor(codes)
    return values, rest * (1 - rest) * step**2, np.maximum(1 - np.abs(codes), 0)


def _pcm_moments(w: np.ndarray, w_max: float, modifier: WeightModifierParameter, count: int) -> Triple:
    """Sample the published PCM formulas for a pair of devices: program, drift, read (numpy's generator)."""
    rng = np.random.default_rng(3)
    g_max, t, t_0, t_read = modifier.g_max, modifier.pcm_t_inference, modifier.pcm_t0, 250e-9
    sign, target = np.where(w < 0, -1, 1), np.abs(w) / w_max * g_max

    def program(g: np.ndarray) -> np.ndarray:
        relative = g / g_max
        sigma = (0.26348 + 1.9650 * relative - 1.1731 * relative**2) * g_max / 25
        return np.maximum(0, g + modifier.std_dev * sigma * rng.standard_normal((count, *w.shape)))

    def read(g: np.ndarray, relative: np.ndarray) -> np.ndarray:
        log = np.log(np.maximum(relative, 1e-7))
        mu, sd = np.clip(-0.0155 * log + 0.0244, 0.049, 0.1), np.clip(-0.0125 * log - 0.0059, 0.008, 0.045)
        drifted = g * ((t + t_0) / t_0) ** -np.abs(mu + sd * rng.standard_normal(g.shape))
        q = np.minimum(0.0088 / np.maximum((g / g_max) ** 0.65, 1e-3), 0.2)
        spread = q * np.sqrt(np.log((t + t_0 + t_read) / (2 * t_read)))
        return np.maximum(0, drifted * (1 + modifier.std_dev * spread * rng.standard_normal(g.shape)))

    empty = np.zeros_like(target)
    net = read(program(target), target / g_max) - read(program(empty), empty)
    values = sign * net * w_max / g_max
    return values.mean(axis=0), values.var(axis=0), (values == 0).mean(axis=0)


def check_timing(case: Case, arrays: Arrays) -> Verdict:
    """Every training forward draws anew from the present weights; evaluation uses the clean ones."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    config = rpu_config(case["config"])
    weights = inputs["W"]
    layer = AnalogLinear(weights.shape[1], weights.shape[0], bias=False, rpu_config=config)
    layer.set_weights(torch.tensor(weights))
    stages = {}
    for stage in ("first", "after_step", "stale"):
        layer.train()
        if stage == "after_step":
            post_update_step(layer)
        if stage == "stale":
            weights = 0.5 * weights
            layer.set_weights(torch.tensor(weights))
        x = torch.tensor(inputs["X"], requires_grad=True)
        y = layer(x)
        y.backward(torch.tensor(inputs["dY"]))
        stages[stage] = (y.detach().numpy(), x.grad.numpy(), weights)
    with torch.no_grad():
        y_eval = layer.eval()(torch.tensor(inputs["X"])).numpy()
    recorded, meant = [_close(y_eval, expected["Y_eval"], "eval")], []
    for stage, (y, dx, present) in stages.items():
        recorded += [
            _close(y, expected[stage]["Y"], f"{stage} Y"),
            _close(dx, expected[stage]["dX"], f"{stage} dX"),
        ]
        noisy = _meant(present, config.modifier, 1).mean
        meant += [
            _close(y, inputs["X"] @ noisy.T, f"{stage} Y", LATE_MODIFIER_QUIRK),
            _close(dx, inputs["dY"] @ noisy, f"{stage} dX", LATE_MODIFIER_QUIRK),
        ]
    verdict = worst(*recorded)
    if verdict.ok or is_torch_tile(case) or not recorded[0].ok:
        return verdict
    return worst(*meant)


def _close(ours: np.ndarray, reference: np.ndarray, what: str, quirk: int | None = None) -> Verdict:
    allowed = TIMING_RELATIVE * np.abs(reference).max() + 1e-6
    return judge(excess(ours, reference, allowed), 1.0, quirk=quirk, detail=what)
