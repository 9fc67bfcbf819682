"""Golden kind `converter`: conductances, parameters and the way back, to 1e-5 relative."""

from __future__ import annotations

import math

import numpy as np
import torch

from simulator.config import ConverterConfig
from simulator.devices import BaseConductanceConverter, build_converter
from tests.golden.common import Arrays, Case, Verdict, excess, fail, judge

RELATIVE_TOLERANCE = 1e-5


def build(config: dict) -> BaseConductanceConverter:
    """The converter of a case's configuration."""
    return build_converter(ConverterConfig.members[config["type"]].model_validate(config))


def _relative(ours: object, reference: object) -> float:
    """The worst deviation relative to the largest magnitude of the reference."""
    largest = float(np.abs(np.asarray(reference, np.float64)).max())
    return excess(ours, reference, largest or 1.0)


def _mid_range(converter: BaseConductanceConverter, weights: torch.Tensor) -> Verdict:
    """Quirk 44: constant weights give NaN in the reference; here mid range, and the weights come back."""
    conductances, params = converter.convert_to_conductances(weights)
    middle = np.full(tuple(weights.shape), (converter.g_min + converter.g_max) / 2)
    back = converter.convert_back_to_weights(conductances, params)
    figure = max(_relative(conductances[0], middle), excess(back, weights, 1.0))
    return judge(figure, RELATIVE_TOLERANCE, quirk=44, detail="constant weights at mid range")


def check(case: Case, arrays: Arrays) -> Verdict:
    """Compare a converter case with the reference."""
    converter = build(case["config"])
    weights = torch.from_numpy(arrays.resolve(case["inputs"])["W"])
    expected = arrays.resolve(case["expected"])
    constant = bool(weights.min() == weights.max())
    if constant and case["config"]["type"] == "SingleDeviceConductanceConverter":
        return _mid_range(converter, weights)
    conductances, params = converter.convert_to_conductances(weights)
    back = converter.convert_back_to_weights(conductances, params)
    stacked = torch.stack(conductances)
    if not expected["returns_list"]:  # the reference returns a single device's tensor bare
        stacked = stacked[0]
    for name in expected["params"]:
        if name not in params:
            return fail(f"parameter {name} is missing")
    figures = {
        "conductances": _relative(stacked, expected["conductances"]),
        "W_back": _relative(back, expected["W_back"]),
        **{name: _relative(params[name], value) for name, value in expected["params"].items()},
    }
    worst = max(figures, key=lambda name: math.inf if math.isnan(figures[name]) else figures[name])
    return judge(figures[worst], RELATIVE_TOLERANCE, detail=worst)
