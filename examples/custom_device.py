"""A device of one's own: a converter and a noise model in Python, and the drift of their conductances.

`python -m examples.custom_device conductance.png` draws it, and prints a small network's error over time.

The device is made up: its conductance drifts, twice as fast above a knee, and every weight is the difference
between a device and a reference device in the middle of the range. Replace the formulas by those of your
measurements. If these are tables or polynomials, no code is needed at all: see `MeasuredNoiseModel`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from simulator import (
    AnalogSequential,
    BaseConductanceConverter,
    BaseNoiseModel,
    ConverterConfig,
    DeviceState,
    InferenceRPUConfig,
    NoiseModelConfig,
    convert_to_analog,
    drift_analog_weights,
    program_analog_weights,
    register_converter,
    register_noise_model,
)
from simulator.devices import build_converter
from simulator.rng import Purpose, as_default, generator

TIMES_S = (1.0, 60.0, 3600.0, 86400.0, 2592000.0, 31536000.0)


class ReferencePairConverter(ConverterConfig):
    """A device of any conductance, and a reference device in the middle of the range."""

    type: Literal["ReferencePairConverter"] = "ReferencePairConverter"


@register_converter(ReferencePairConverter)
class ReferencePair(BaseConductanceConverter):
    """w = (g - g_reference) / scale, with g_reference = (g_max + g_min) / 2 and max |w| at half the range."""

    def convert_to_conductances(self, weights_OI: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Return the two conductances of each weight, in uS."""
        scale = (self.g_max - self.g_min) / 2 / weights_OI.abs().amax().clamp(min=1e-7)
        reference = torch.full_like(weights_OI, (self.g_max + self.g_min) / 2)
        return [reference + weights_OI * scale, reference], {"scale": scale}

    def convert_back_to_weights(self, conductances_us: list[Tensor], params: dict[str, Tensor]) -> Tensor:
        """Return the weights that conductances stand for."""
        conductance, reference = conductances_us
        return (conductance - reference) / params["scale"]


class KneeNoiseModel(NoiseModelConfig):
    """The noise model's configuration, validated as every other, its fields described in the JSON schema."""

    type: Literal["KneeNoiseModel"] = "KneeNoiseModel"
    device_state: DeviceState = DeviceState.PER_DEVICE  # the two devices of a weight drift each on its own
    g_max: float = Field(default=50.0, gt=0, description="Conductance of the largest weight, in uS.")
    g_min: float = Field(default=2.0, ge=0, description="Smallest conductance, in uS.")
    knee_us: float = Field(default=30.0, ge=0, description="Above it the drift exponent doubles, in uS.")
    programming_std_us: float = Field(default=0.6, ge=0, description="Std of programming noise, in uS.")
    nu: float = Field(default=0.002, description="Mean drift exponent below the knee.")
    nu_std: float = Field(default=0.0004, ge=0, description="Std of the drift exponent over devices.")
    read_std_us: float = Field(default=0.15, ge=0, description="Std of read noise, in uS.")

    @property
    def devices_per_weight(self) -> int:
        """A device and its reference."""
        return 2


@register_noise_model(KneeNoiseModel)
class Knee(BaseNoiseModel):
    """Programming noise is constant, drift is twice as fast above the knee, read noise is constant."""

    def __init__(self, config: KneeNoiseModel) -> None:
        converter = ReferencePairConverter(g_max=config.g_max, g_min=config.g_min)
        super().__init__(config, build_converter(converter))
        self.config = config

    def program_conductance(self, g_target_us: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return the target with noise, never negative."""
        noise = torch.randn(g_target_us.shape, generator=generator)
        return (g_target_us + self.config.programming_std_us * noise).clamp(min=0)

    def draw_state(self, g_target_us: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return the drift exponent of every device."""
        nu = self.config.nu * torch.where(g_target_us > self.config.knee_us, 2.0, 1.0)
        return nu + self.config.nu_std * torch.randn(g_target_us.shape, generator=generator)

    def drift_conductance(
        self, g_us: Tensor, state: Tensor | None, t_inference_s: float, *, generator: torch.Generator
    ) -> Tensor:
        """Return what is read at a time: g (t / 1 s)^-nu with read noise."""
        if state is None:
            raise ValueError("this model draws an exponent for every device")
        drifted = g_us * max(t_inference_s, 1.0) ** -state
        return drifted + self.config.read_std_us * torch.randn(g_us.shape, generator=generator)


def conductances(model: Knee, targets_us: Tensor) -> Tensor:
    """Return what devices with these targets are read as at `TIMES_S`, `[times, targets]` in uS."""
    programmed = model.program_conductance(targets_us, generator=generator(0, Purpose.PROGRAMMING, "example"))
    state = model.draw_state(targets_us, generator=generator(0, Purpose.DRIFT, "example"))
    read = [
        model.drift_conductance(programmed, state, t, generator=generator(0, Purpose.READ, "example", t))
        for t in TIMES_S
    ]
    return torch.stack(read)


def errors() -> dict[float, float]:
    """Return a small network's error relative to its digital outputs, by time in s."""
    with as_default(0, Purpose.INITIAL_WEIGHTS):
        digital = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))
        x = torch.randn(256, 32)
    config = InferenceRPUConfig(noise_model=KneeNoiseModel(), drift_compensation=None)
    config.forward.is_perfect = True  # only the devices are looked at
    model = AnalogSequential(convert_to_analog(digital, config)).eval()
    program_analog_weights(model)
    found = {}
    with torch.inference_mode():
        exact = digital(x)
        for t in TIMES_S:
            drift_analog_weights(model, t_inference=t)
            found[t] = float((model(x) - exact).norm() / exact.norm())
    return found


def draw(path: Path) -> None:
    """Draw the conductances of devices over time, with those of many others around them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    model = Knee(KneeNoiseModel())
    for number, target in enumerate((5.0, 15.0, 25.0, 35.0, 45.0)):
        read = conductances(model, torch.full((500,), target))
        low, high = read.quantile(0.05, dim=1), read.quantile(0.95, dim=1)
        axes.plot(TIMES_S, read.mean(dim=1), color=f"C{number}", label=f"target {target:g} uS")
        axes.fill_between(TIMES_S, low, high, color=f"C{number}", alpha=0.2)
    axes.set_xscale("log")
    axes.set_xlabel("time after programming (s)")
    axes.set_ylabel("conductance (uS), mean and 90 % of devices")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=120)


def main(arguments: list[str]) -> int:
    """Draw and print; return the process's exit code."""
    if len(arguments) != 1 or not arguments[0].endswith((".png", ".svg", ".pdf")):
        print("usage: python -m examples.custom_device PICTURE.png", file=sys.stderr)
        return 2
    draw(Path(arguments[0]))
    for t, error in errors().items():
        print(f"{t:>12,.0f} s   relative error of the outputs {error:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
