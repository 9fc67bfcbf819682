"""Which bounds and resolutions a layer's converters should have: signal-to-noise ratios on real inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from simulator.config import InferenceRPUConfig
from simulator.config.analyses.advice import LEAST_BITS, MOST_BITS, resolution_of
from simulator.config.no_effect import is_off, is_perfect
from simulator.nn.layer import AnalogLayer
from simulator.nn.model import analog_layers, noise_context

WITHIN_DB: Final = 1.0  # of the unquantised ratio: the fewest bits
MOST_DB: Final = 200.0  # of what has next to no error
WORTH_DB: Final = 0.5  # a bound that wins less is left as it is
_BOUNDS: Final = tuple(2 ** (step / 2) for step in range(-8, 7))  # of the present one
_FIELDS: Final = {"dac": ("inp_bound", "inp_res"), "adc": ("out_bound", "out_res")}


@dataclass(frozen=True)
class ConverterAdvice:
    """What the DACs or ADCs of a layer should be, by the signal-to-noise ratio of the layer's output.

    Attributes:
        layer: its name.
        converter: `dac` or `adc`.
        bound: the present one.
        snr_db: the ratio as configured, with all that the layer's hardware does.
        best_bound: the bound with the highest ratio at the present resolution; the present one where another
            wins less than half a decibel.
        by_bound: (bound, ratio) of all that were tried.
        unquantised_db: the ratio at the best bound without rounding.
        by_bits: (bits, ratio) at the best bound.
        fewest_bits: the fewest bits within 1 dB of that; None where not even the most are.
    """

    layer: str
    converter: str
    bound: float
    snr_db: float
    best_bound: float
    by_bound: tuple[tuple[float, float], ...]
    unquantised_db: float
    by_bits: tuple[tuple[int, float], ...]
    fewest_bits: int | None

    @property
    def best_snr_db(self) -> float:
        """The ratio at the best bound, at the present resolution."""
        return dict(self.by_bound).get(self.best_bound, self.snr_db)


@torch.no_grad()
def advise_converters(
    model: nn.Module, *inputs: Tensor, check_stop: Callable[[], None] = lambda: None
) -> tuple[ConverterAdvice, ...]:
    """Try bounds and resolutions on every layer, one converter at a time, with the inputs that arrive there.

    All trials of a layer have the same chip, the same drift and the same draws of noise. The model is
    as it was afterwards.

    Args:
        model: an analog model in evaluation mode, programmed and drifted to the time that counts.
        inputs: the model's arguments, with the batch first.
        check_stop: called between trials; raises to stop.

    Returns:
        The DACs and ADCs of the layers that were called; those that do not convert, and those of layers whose
        ratio is no number, are left out.
    """
    seen = _inputs_of_layers(model, inputs)
    found: list[ConverterAdvice] = []
    for name, layer in analog_layers(model):
        if name not in seen or is_perfect(layer.rpu_config):
            continue
        trial = _Trial(model, layer, seen[name], check_stop)
        if not -math.inf < trial.ratio({}) < MOST_DB:
            continue
        for converter, (bound, resolution) in _FIELDS.items():
            one = _advise(name, converter, trial, bound, resolution)
            if one is not None:
                found.append(one)
    return tuple(found)


def _advise(
    name: str, converter: str, trial: _Trial, bound_field: str, resolution_field: str
) -> ConverterAdvice | None:
    forward = trial.layer.rpu_config.forward
    bound, resolution = getattr(forward, bound_field), getattr(forward, resolution_field)
    if is_off(bound):
        return None
    now = trial.ratio({})
    by_bound = [(bound * factor, trial.ratio({bound_field: bound * factor})) for factor in _BOUNDS]
    best, highest = max(by_bound, key=lambda one: one[1])
    if highest - now < WORTH_DB:
        best = bound
    unquantised = trial.ratio({bound_field: best, resolution_field: -1.0})
    by_bits: list[tuple[int, float]] = []
    for bits in range(LEAST_BITS, MOST_BITS + 1):
        by_bits.append((bits, trial.ratio({bound_field: best, resolution_field: resolution_of(bits)})))
        if by_bits[-1][1] >= unquantised - WITHIN_DB and resolution_of(bits) <= abs(resolution):
            break  # more bits than there are, and than are needed
    enough = [bits for bits, ratio in by_bits if ratio >= unquantised - WITHIN_DB]
    return ConverterAdvice(
        layer=name,
        converter=converter,
        bound=bound,
        snr_db=now,
        best_bound=best,
        by_bound=tuple(by_bound),
        unquantised_db=unquantised,
        by_bits=tuple(by_bits),
        fewest_bits=min(enough, default=None),
    )


def _inputs_of_layers(model: nn.Module, inputs: Sequence[Tensor]) -> dict[str, tuple[Any, ...]]:
    """Return the arguments of each layer's first call."""
    seen: dict[str, tuple[Any, ...]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, arguments: tuple[Any, ...], __: Any) -> None:
            seen.setdefault(name, arguments)

        return hook

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in analog_layers(model)]
    context = noise_context(model)
    try:
        if context is not None:
            context.at_batch(0)
        model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


class _Trial:
    """Runs one layer with other values of the forward pass."""

    def __init__(
        self, model: nn.Module, layer: AnalogLayer, arguments: tuple[Any, ...], check_stop: Callable[[], None]
    ) -> None:
        self.layer = layer
        self._context = noise_context(model)
        self._arguments = arguments
        self._check_stop = check_stop
        self._ideal = layer.to_digital().eval()(*arguments).double()

    def ratio(self, values: Mapping[str, float]) -> float:
        """Return the power of the digital output over that of the error, in dB, at most 200; else -inf."""
        self._check_stop()
        with _configured(self.layer, values):
            if self._context is not None:
                self._context.at_batch(0)  # the same draws for all
            error = float((self.layer(*self._arguments).double() - self._ideal).square().sum())
        signal = float(self._ideal.square().sum())
        if signal == 0 or not math.isfinite(error):
            return -math.inf
        return MOST_DB if error == 0 else min(MOST_DB, 10 * (math.log10(signal) - math.log10(error)))


@contextmanager
def _configured(layer: AnalogLayer, values: Mapping[str, float]) -> Iterator[None]:
    before: InferenceRPUConfig = layer.rpu_config
    changed = before
    if values:
        changed = before.model_copy(deep=True)
        for name, value in values.items():
            setattr(changed.forward, name, value)
    try:
        _configure(layer, changed.frozen())
        yield
    finally:
        _configure(layer, before)


def _configure(layer: AnalogLayer, config: InferenceRPUConfig) -> None:
    for _, tile in layer.tile_slots():
        tile.rpu_config = config
        tile.recompile()
