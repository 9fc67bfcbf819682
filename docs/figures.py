"""Draw the pictures of `docs/choosing-hardware.md`: `python -m docs.figures`.

Each is measured on simulated tiles that have nothing but the effect in question: 256 inputs, 128 outputs,
weights and inputs from normal distributions. An error is the root mean square of what a tile answers minus
the exact product, over the root mean square of the exact product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from driftline.plots import style, to_bytes
from simulator import convert_to_analog, drift_analog_weights, program_analog_weights
from simulator.config import InferenceRPUConfig
from simulator.rng import Purpose, generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER: Final = Path(__file__).with_name("img")
_INPUTS, _OUTPUTS, _VECTORS = 256, 128, 512
_NOTHING: Final[dict[str, Any]] = {
    "inp_res": -1.0, "out_res": -1.0, "inp_bound": "inf", "out_bound": "inf", "out_noise": 0.0,
    "noise_management": "None", "bound_management": "None",
}  # fmt: skip
Row = Mapping[str, Sequence[float]]


def _steps(bits: int) -> float:
    """Return the resolution of a converter: one step, of twice the bound."""
    return 1 / (2**bits - 2)


def _layer() -> nn.Linear:
    layer = nn.Linear(_INPUTS, _OUTPUTS, bias=False)
    with torch.no_grad():
        draws = torch.randn(_OUTPUTS, _INPUTS, generator=generator(0, Purpose.INITIAL_WEIGHTS))
        layer.weight.copy_(0.2 * draws)
    return layer


def _inputs(spread: float = 1.0) -> Tensor:
    return spread * torch.randn(_VECTORS, _INPUTS, generator=generator(0, Purpose.SAMPLE_ORDER))


def _error(forward: Mapping[str, Any], x: Tensor, **parts: Any) -> float:
    """Return the relative error of a tile, in percent; with a noise model, of one that was programmed."""
    layer = _layer()
    config = InferenceRPUConfig.model_validate({"forward": {**_NOTHING, **forward}, **parts})
    tile = convert_to_analog(layer, config, seed=0).eval()
    if "noise_model" in parts:
        program_analog_weights(tile)
        drift_analog_weights(tile, 1.0)
    with torch.no_grad():
        exact, answer = layer(x), tile(x)
    return 100 * float((answer - exact).square().mean().sqrt() / exact.square().mean().sqrt())


def converters() -> Figure:
    """The DAC and the ADC: steps and bounds, and what each bit brings."""
    figure = style.new_figure(9.0, 3.8)
    left, right = figure.subplots(1, 2)
    x = torch.linspace(-1.5, 1.5, 601)[:, None]
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    for bits, look in ((3, style.VARIANTS["direct"]), (7, style.VARIANTS["hwa"])):
        forward = {**_NOTHING, "inp_bound": 1.0, "inp_res": _steps(bits)}
        tile = convert_to_analog(layer, InferenceRPUConfig.model_validate({"forward": forward})).eval()
        with torch.no_grad():
            left.plot(x[:, 0], tile(x)[:, 0], color=look.colour, linestyle="-", label=f"{bits} bits, bound 1")
    left.plot([-1.5, 1.5], [-1.5, 1.5], color="0", linestyle="--", linewidth=1, label="exact")
    left.set_xlabel("input")
    left.set_ylabel("what reaches the crossbar")
    bits = range(2, 11)
    dac = [_error({"inp_bound": 4.0, "inp_res": _steps(one)}, _inputs()) for one in bits]
    adc = [_error({"out_bound": 16.0, "out_res": _steps(one)}, _inputs()) for one in bits]
    _curves(right, bits, {"DAC, bound at 4 standard deviations": dac, "ADC, bound at 5": adc})
    right.set_yscale("log")
    right.set_xlabel("bits")
    right.set_ylabel("error (%)")
    return _finished(figure)


def input_bound() -> Figure:
    """A DAC of few bits: a narrow range clips, a wide one rounds coarsely."""
    bounds = [0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 12, 16]
    rows = {
        f"{bits} bits": [_error({"inp_bound": one, "inp_res": _steps(bits)}, _inputs()) for one in bounds]
        for bits in (4, 6, 8)
    }
    return _one(
        bounds, rows, "range of the inputs (standard deviations of the input)", log_x=True, log_y=True
    )


def output_bound() -> Figure:
    """The same of the ADC, with and without bound management."""
    bounds = [2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64]
    rows: dict[str, list[float]] = {}
    for management, name in (("None", "without"), ("Iterative", "with")):
        forward = {"inp_bound": 1.0, "noise_management": "AbsMax", "out_res": _steps(6), "out_noise": 0.01}
        rows[f"{name} bound management"] = [
            _error({**forward, "out_bound": one / 8, "bound_management": management}, _inputs())
            for one in bounds
        ]
    return _one([one / 8 for one in bounds], rows, "out_bound (units of the output)", log_x=True, log_y=True)


def noise_management() -> Figure:
    """Noise of fixed size: small inputs drown in it unless each vector is scaled to the full range."""
    spreads = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
    forward = {"inp_bound": 1.0, "inp_res": _steps(7), "out_noise": 0.06}
    rows = {
        label: [_error({**forward, "noise_management": rule}, _inputs(spread)) for spread in spreads]
        for label, rule in (("without noise management", "None"), ("AbsMax", "AbsMax"))
    }
    return _one(spreads, rows, "standard deviation of the inputs", log_x=True, log_y=True)


def omega() -> Figure:
    """Weights that use the range of the conductances stand out from the noise of the output."""
    values = [0.1, 0.2, 0.3, 0.5, 0.7, 1.0]
    rows = {}
    for columnwise, label in ((False, "one scale a tile"), (True, "one scale an output")):
        rows[label] = [
            _error(
                {"noise_management": "AbsMax", "inp_bound": 1.0, "out_noise": 0.06},
                _inputs(),
                mapping={"weight_scaling_omega": one, "weight_scaling_columnwise": columnwise},
                noise_model={"type": "PCMLikeNoiseModel"},
            )
            for one in values
        ]
    return _one(values, rows, "weight_scaling_omega", log_x=True, log_y=False)


def compensation() -> Figure:
    """Drift shrinks all outputs; one factor per tile puts most of that right."""
    times = [1.0, 60.0, 3600.0, 86400.0, 604800.0, 2592000.0, 31536000.0]
    x = _inputs()
    layer = _layer()
    with torch.no_grad():
        exact = layer(x)
    rows: dict[str, list[float]] = {}
    for label, kind in (
        ("without compensation", None),
        ("GlobalDriftCompensation", "GlobalDriftCompensation"),
    ):
        config = InferenceRPUConfig.model_validate(
            {
                "forward": {"is_perfect": True},
                "mapping": {"weight_scaling_omega": 1.0},
                "drift_compensation": None if kind is None else {"type": kind},
            }
        )
        tile = convert_to_analog(_layer(), config, seed=0).eval()
        program_analog_weights(tile)
        rows[label] = []
        for time_s in times:
            drift_analog_weights(tile, time_s)
            with torch.no_grad():
                error = (tile(x) - exact).square().mean().sqrt() / exact.square().mean().sqrt()
            rows[label].append(100 * float(error))
    figure = style.new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    _curves(axes, times, rows)
    style.time_axis(axes, times)
    axes.set_ylabel("error (%)")
    axes.set_ylim(0, None)
    return _finished(figure)


def _one(x: Sequence[float], rows: Row, label: str, *, log_x: bool, log_y: bool) -> Figure:
    figure = style.new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    _curves(axes, x, rows)
    if log_x:
        axes.set_xscale("log")
        ticks = [10.0**power * digit for power in range(-3, 3) for digit in (1, 2, 5)]
        ticks = [one for one in ticks if min(x) <= one <= max(x)]
        axes.set_xticks(ticks, [f"{one:g}" for one in ticks])
        axes.minorticks_off()
    if log_y:
        axes.set_yscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("error (%)")
    return _finished(figure)


def _curves(axes: Axes, x: Sequence[float], rows: Row) -> None:
    looks = [*style.VARIANTS.values()]
    for (label, values), look in zip(rows.items(), looks, strict=False):
        known = [(place, value) for place, value in zip(x, values, strict=True) if math.isfinite(value)]
        places, heights = zip(*known, strict=True)
        axes.plot(
            places, heights, color=look.colour, linestyle=look.dash, marker=look.marker, markersize=4,
            label=label,
        )  # fmt: skip


def _finished(figure: Figure) -> Figure:
    for axes in figure.axes:
        style.finish(axes)
    return figure


FIGURES: Final[dict[str, Callable[[], Figure]]] = {
    "converters": converters,
    "input-bound": input_bound,
    "output-bound": output_bound,
    "noise-management": noise_management,
    "omega": omega,
    "compensation": compensation,
}


def main() -> None:
    """Draw all pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        (FOLDER / f"{name}.svg").write_bytes(to_bytes(draw(), "svg"))


if __name__ == "__main__":
    main()
