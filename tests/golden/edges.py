"""Section Q: edge cases of the reference, which its quirks are told from; the case's name says what was run."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from simulator.config import HermesNoiseModel, InferenceRPUConfig, PCMLikeNoiseModel, ReRamCMONoiseModel
from simulator.devices import build_noise_model
from simulator.nn import AnalogConv1d, AnalogConv2d, AnalogLinear, program_analog_weights
from simulator.rng import Purpose, generator
from simulator.tile import ProgrammedTile, analog_product, compile_plan, draw_instance, modify_weights
from tests.golden import oracle
from tests.golden.common import Arrays, Case, Verdict, excess, fail, is_torch_tile, judge, rpu_config, worst

EXACT = 1e-5
ONES = 20  # inputs of the cases with a vector of ones

Edge = Callable[[Case, dict[str, Any], re.Match[str]], Verdict]


def check(case: Case, arrays: Arrays) -> Verdict:
    """Run the edge that the name describes."""
    expected = arrays.resolve(case["expected"])
    for pattern, edge in EDGES.items():
        found = re.search(pattern, case["name"])
        if found:
            return edge(case, expected, found)
    return fail(f"no edge is called {case['name']!r}")


def _same(ours: Any, reference: Any, quirk: int | None = None, detail: str = "") -> Verdict:
    allowed = EXACT * max(1.0, float(np.abs(np.asarray(reference, np.float64)).max()))
    return judge(excess(ours, reference, allowed), 1.0, quirk=quirk, detail=detail)


def _as_recorded_or(ours: Any, recorded: Any, meant: Any, quirk: int) -> Verdict:
    verdict = _same(ours, recorded)
    return verdict if verdict.ok else _same(ours, meant, quirk)


def _stream(purpose: Purpose) -> torch.Generator:
    return generator(17, purpose, "edge")


def _forward(weights: np.ndarray, x: np.ndarray, config: InferenceRPUConfig) -> np.ndarray:
    plan = compile_plan(config.forward)
    return analog_product(
        torch.tensor(x), torch.tensor(weights), plan, generator=_stream(Purpose.FORWARD)
    ).numpy()


def _any_input_bound(case: Case, expected: dict[str, Any], _: re.Match[str]) -> Verdict:
    config = rpu_config(case["config"])
    config.forward.out_noise = 0.0
    rng = np.random.default_rng(1)
    x, weights = rng.standard_normal((3, 5)).astype("f"), rng.uniform(-0.5, 0.5, (4, 5)).astype("f")
    return _same(_forward(weights, x, config), oracle.forward(x, weights, config), 10)


def _refused(case: Case, expected: dict[str, Any], _: re.Match[str]) -> Verdict:
    try:
        rpu_config(case["config"])
    except ValidationError:
        return judge(0.0 if "error" in expected else np.inf, 1.0, detail="refused")
    return fail("the configuration was accepted")


def _infinite_bound(case: Case, expected: dict[str, Any], _: re.Match[str]) -> Verdict:
    config = rpu_config(case["config"])
    config.forward.out_noise = 0.0
    x, weights = np.ones((1, 4), "f"), np.array([[30.0, 1, 2, 3], [0.1, 0.2, 0.3, 0.4]], "f")
    return _same(_forward(weights, x, config), x @ weights.T, 11)


def _one_bound_only(case: Case, expected: dict[str, Any], found: re.Match[str]) -> Verdict:
    config = rpu_config(case["config"])
    signs = np.array(ast.literal_eval(found[1]), "f")
    x, weights = np.ones((1, ONES), "f"), np.repeat(signs[:, None], ONES, axis=1)
    return _as_recorded_or(
        _forward(weights, x, config), expected["value"], oracle.forward(x, weights, config), 6
    )


def _top_code(case: Case, expected: dict[str, Any], found: re.Match[str]) -> Verdict:
    weights = np.full((1, ONES), float(found[1]) / ONES, "f")
    return _same(_forward(weights, np.ones((1, ONES), "f"), rpu_config(case["config"])), expected["value"])


def _apply_at_zero(case: Case, expected: dict[str, Any], _: re.Match[str]) -> Verdict:
    model = build_noise_model(PCMLikeNoiseModel())
    target = torch.linspace(-1, 1, 21).reshape(3, 7)

    def streams() -> dict[str, torch.Generator]:
        return {name: _stream(Purpose(name)) for name in ("programming", "drift")}

    ours = model.apply_noise(target, 0.0, **streams(), read=_stream(Purpose.READ))
    return _same(ours.numpy(), model.program(target, **streams()).weights_OI.numpy(), 45)


def _own_coefficients(case: Case, expected: dict[str, Any], _: re.Match[str]) -> Verdict:
    kind = {"PCMLikeNoiseModel": PCMLikeNoiseModel, "HermesNoiseModel": HermesNoiseModel}[
        case["config"]["type"]
    ]
    config = kind.model_validate(case["config"])
    model = build_noise_model(config)
    g = torch.full((100_000,), 0.6 * model.g_max)
    spread = float(model.program_conductance(g, generator=_stream(Purpose.PROGRAMMING)).std())
    sigma = np.polynomial.polynomial.polyval(0.6, config.prog_coeff)
    meant = sigma * model.g_max / config.prog_coeff_g_max_reference
    return judge(abs(spread / meant - 1), 0.02, quirk=42)


def _constant_weights(case: Case, expected: dict[str, Any], _: re.Match[str]) -> Verdict:
    config = ReRamCMONoiseModel.model_validate(case["config"])
    model = build_noise_model(config)
    targets, _params = model.converter.convert_to_conductances(torch.full((2, 3), 0.5))
    middle = (config.g_max + config.g_min) / 2
    programmed = model.program(
        torch.full((2, 3), 0.5), programming=_stream(Purpose.PROGRAMMING), drift=_stream(Purpose.DRIFT)
    )
    read = model.drift(programmed, 3600.0, read=_stream(Purpose.READ))
    return worst(
        _same(targets[0].numpy(), np.full((2, 3), middle), 44, "conductance"),
        judge(0.0 if bool(torch.isfinite(read).all()) else np.inf, 1.0, quirk=44, detail="finite"),
    )


def _default_acceptance(case: Case, expected: dict[str, Any], _: re.Match[str]) -> Verdict:
    return _same(ReRamCMONoiseModel.model_validate(case["config"]).acceptance_range, expected["value"])


def _convolution(case: Case, expected: dict[str, Any], found: re.Match[str]) -> Verdict:
    options = {
        "groups": {"groups": 2},
        "padding same": {"padding": "same"},
        "padding_mode": {"padding": 1, "padding_mode": "circular"},
        "dilation": {"dilation": 2},
    }[found[2]]
    config = rpu_config(case["config"])
    config.forward.is_perfect = True
    dimensions = int(found[1] or 2)
    kind = {1: AnalogConv1d, 2: AnalogConv2d}[dimensions]
    analog = kind(4, 6, 3, rpu_config=config, **options).eval()
    x = torch.tensor(np.random.default_rng(2).standard_normal((2, 4, *[7] * dimensions)).astype("f"))
    with torch.no_grad():
        return _same(analog(x).numpy(), analog.to_digital()(x).numpy(), 59)


def _per_column(case: Case, expected: dict[str, Any], found: re.Match[str]) -> Verdict:
    config = InferenceRPUConfig(drift_compensation={"type": "PerColumnDriftCompensation"})
    config.forward.is_perfect = True
    analog = AnalogConv1d(2, 4, 3, padding=1, bias=False, rpu_config=config).eval()
    length = int(found[1]) if found[1] else analog.out_channels
    ((slot, tile),) = analog.tile_slots()
    x = torch.ones(1, 2, length)
    with torch.no_grad():
        plain = analog(x)
        weights = tile.target_weights(analog.logical_block(slot))
        tile.chip = ProgrammedTile(weights, compensation=torch.arange(1.0, 5.0))
        scaled = analog(x)
    return _same(scaled.numpy(), (plain * torch.arange(1.0, 5.0)[:, None]).numpy(), 53)


def _output_noise_spread(case: Case, expected: dict[str, Any], _: re.Match[str]) -> Verdict:
    forward = rpu_config(case["config"]).forward
    drawn = draw_instance(compile_plan(forward), 100_000, 1, _stream(Purpose.INSTANCE)).out_noise
    spread = forward.out_noise * forward.out_noise_std
    return worst(
        judge(abs(float(drawn.mean()) / forward.out_noise - 1), 0.02, quirk=21, detail="mean"),
        judge(abs(float(drawn.std()) / spread - 1), 0.02, quirk=21, detail="std"),
    )


def _gradient_beyond_bound(case: Case, expected: dict[str, Any], _: re.Match[str]) -> Verdict:
    config = rpu_config(case["config"])
    layer = AnalogLinear(ONES, 1, bias=False, rpu_config=config)
    layer.set_weights(torch.ones(1, ONES))
    x = torch.ones(1, ONES, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    value = expected["value"]
    gradient = x.grad[0, : len(value["dX"])].numpy()
    quirk = 25 if is_torch_tile(case) else 24
    meant = np.ones(len(value["dX"]))
    return worst(_same(y.item(), value["y"]), _as_recorded_or(gradient, value["dX"], meant, quirk))


def _ties(case: Case, expected: dict[str, Any], found: re.Match[str]) -> Verdict:
    weights = np.array(ast.literal_eval(found[1]), "f")
    modifier = rpu_config(case["config"]).modifier
    ours = modify_weights(torch.tensor(weights), modifier, _stream(Purpose.MODIFIER)).numpy()
    codes = weights / (2 * modifier.res * modifier.assumed_wmax)
    meant = np.sign(codes) * np.floor(np.abs(codes) + 0.5) * 2 * modifier.res * modifier.assumed_wmax
    recorded = np.asarray(expected["value"]).reshape(weights.shape)
    return _as_recorded_or(ours, recorded, meant, 12 if is_torch_tile(case) else 32)


def _programmed_again(case: Case, expected: dict[str, Any], _: re.Match[str]) -> Verdict:
    trained = np.array(expected["value"]["trained"], "f")
    config = InferenceRPUConfig(noise_model={"type": "PCMLikeNoiseModel", "prog_noise_scale": 0.0})
    layer = AnalogLinear(trained.shape[1], trained.shape[0], bias=False, rpu_config=config).eval()
    nn.init.constant_(layer.weight, 0.5)
    program_analog_weights(layer)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(trained))
    program_analog_weights(layer)
    ((_, tile),) = layer.tile_slots()
    return _as_recorded_or(
        tile.chip.weights_OI.numpy(), expected["value"]["after_program_analog_weights"], trained, 55
    )


EDGES: dict[str, Edge] = {
    r"^inp_bound != 1 with noise management": _any_input_bound,
    r"^bound_management Shift": _refused,
    r"^out_bound inf": _infinite_bound,
    r"^bm_test_negative_bound=False.*signs (\[.*\])": _one_bound_only,
    r"^default ADC, ideal output ([\d.]+)": _top_code,
    r"^apply_noise at t=0": _apply_at_zero,
    r"explicit prog_coeff and reference": _own_coefficients,
    r"^ReRamCMO on constant weights": _constant_weights,
    r"^ReRamCMO default acceptance_range": _default_acceptance,
    r"^conv(\d?)d? (groups|padding same|padding_mode|dilation)": _convolution,
    r"^PerColumn compensation on conv1d, length (?:(\d+)|== channels)": _per_column,
    r"out_noise_std ignores its value": _output_noise_spread,
    r"^input gradient when y=20": _gradient_beyond_bound,
    r"^modifier Discretize on ties (\[\[.*\]\])": _ties,
    r"^re-programming after further training": _programmed_again,
}
