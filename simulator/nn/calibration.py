"""Input ranges from data: run a few batches and set each tile's range from what arrives at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simulator.config import CalibrationMethod, NoiseManagementType
from simulator.nn.model import analog_layers, noise_context
from simulator.nn.tile import AS_CONFIGURED, AnalogTile, TileMode
from simulator.rng import Purpose, generator

_OF_IDEAL_ACTIVATIONS = (CalibrationMethod.MAX, CalibrationMethod.CACHE_QUANTILE)


@dataclass(frozen=True)
class CalibratedTile:
    """What calibration did to one tile.

    Attributes:
        layer: the layer's name in the model.
        row: of the tile in its layer's grid.
        column: of the tile in its layer's grid.
        input_range: its range now, in units of the layer's input.
        noise_management_was: what is configured; the range takes its place.
    """

    layer: str
    row: int
    column: int
    input_range: float
    noise_management_was: NoiseManagementType


@torch.no_grad()
def calibrate_input_ranges(
    model: nn.Module,
    batches: Iterable[Tensor | tuple[Tensor, ...]],
    *,
    method: CalibrationMethod = CalibrationMethod.MAX,
    quantile: float = 0.99995,
    std_alpha: float | None = None,
    max_samples: int = 1000,
    seed: int = 0,
) -> list[CalibratedTile]:
    """Set the input range of every tile from data, in place.

    Max takes the largest |x|, CacheQuantile the quantile of |x| over a sample of input vectors; both look at
    the activations of perfect products. MovingQuantile and MovingStd average over batches, running the real
    forward pass with the ranges found so far. Vectors of zeros do not count; the vectors of a convolution are
    those of its maps, the channels of a place, and not its patches (docs/quirks.md, 63). A calibrated range
    takes the place of noise management and is no longer initialised from training batches; a tile without an
    input range gets one that is not learned. All of this belongs to the tiles' state: configurations stay as
    they are. Where calibration is refused, the tiles are as they were.

    Args:
        model: an analog model; its clean weights are used unless it is programmed.
        batches: the model's inputs, a tensor or the tuple of its arguments.
        method: how a range follows from the inputs.
        quantile: share of |x| inside the range (the Quantile methods).
        std_alpha: range in standard deviations (MovingStd); the configuration's `init_std_alpha` when None.
        max_samples: input vectors kept per tile (CacheQuantile), or batches that count (MovingStd).
        seed: of the choice of samples.

    Returns:
        What became of each tile.

    Raises:
        ValueError: the quantile is not in (0, 1], `max_samples` or `std_alpha` is not positive, there are no
            batches, or a tile saw no inputs but zeros.
    """
    settings = _Settings(CalibrationMethod(method), quantile, std_alpha, max_samples, seed)
    observers = [
        _Observer(name, slot.row, slot.column, tile, settings)
        for name, layer in analog_layers(model)
        for slot, tile in layer.tile_slots()
    ]
    was_training = model.training
    context = noise_context(model)
    model.eval()
    for observer in observers:
        observer.begin()
    try:
        for index, batch in enumerate(batches):
            if context is not None:
                context.move(batch=index)
            model(*(batch if isinstance(batch, tuple) else (batch,)))
    finally:
        for observer in observers:
            observer.end()
        if context is not None:
            context.move()
        model.train(was_training)
    blind = [
        f"{observer.layer} ({observer.row}, {observer.column})" for observer in observers if not observer.seen
    ]
    if blind:
        for observer in observers:
            observer.put_back()
        raise ValueError(
            f"no inputs but zeros arrived at the tiles of: {', '.join(blind)}; give other batches"
        )
    return [observer.finish() for observer in observers]


@dataclass(frozen=True)
class _Settings:
    method: CalibrationMethod
    quantile: float
    std_alpha: float | None
    max_samples: int
    seed: int

    def __post_init__(self) -> None:
        faults = []
        if not 0 < self.quantile <= 1:
            faults.append(f"quantile must be in (0, 1], not {self.quantile}")
        if self.max_samples < 1:
            faults.append(f"max_samples must be at least 1, not {self.max_samples}")
        if self.std_alpha is not None and not self.std_alpha > 0:
            faults.append(f"std_alpha must be positive, not {self.std_alpha}")
        if faults:
            raise ValueError("; ".join(faults))


class _Observer:
    """Watches what arrives at one tile."""

    def __init__(self, layer: str, row: int, column: int, tile: AnalogTile, settings: _Settings) -> None:
        self.layer, self.row, self.column = layer, row, column
        self.tile, self.settings = tile, settings
        self.management = tile.rpu_config.forward.noise_management
        self.seen = 0
        self.value = 0.0
        self.cache: Tensor | None = None
        self.before = None if tile.input_range is None else tile.input_range.detach().clone()
        self.was_calibrated = tile.range_calibrated is not None and bool(tile.range_calibrated)

    def begin(self) -> None:
        """Let the tile run behind its range and listen; ideal activations come from perfect products."""
        self.tile.expect_calibrated_range()
        observe: dict[CalibrationMethod, Callable[[Tensor], None]] = {
            CalibrationMethod.MAX: self._observe_max,
            CalibrationMethod.CACHE_QUANTILE: self._observe_sample,
            CalibrationMethod.MOVING_QUANTILE: self._observe_quantile,
            CalibrationMethod.MOVING_STD: self._observe_std,
        }
        method = observe[self.settings.method]

        def watch(x: Tensor) -> None:
            vectors = x.reshape(-1, x.shape[-1])
            vectors = vectors[(vectors != 0).any(dim=-1)]
            if len(vectors):
                method(vectors)
                self.seen += 1

        self.tile.set_mode(TileMode(perfect=self.settings.method in _OF_IDEAL_ACTIVATIONS, observer=watch))

    def end(self) -> None:
        """Stop listening."""
        self.tile.set_mode(AS_CONFIGURED)

    def put_back(self) -> None:
        """Leave the tile as it was before."""
        if self.before is None:
            self.tile.disable_input_range()
        else:
            self._set(self.before)
            if self.tile.range_calibrated is not None:
                self.tile.range_calibrated.fill_(self.was_calibrated)
        self.tile.recompile()

    def finish(self) -> CalibratedTile:
        """Set the tile's range and say what was done."""
        if self.cache is not None:
            self.value = _quantile(self.cache, self.settings.quantile)
        self._set(self.value)
        return CalibratedTile(self.layer, self.row, self.column, self.value, self.management)

    def _set(self, value: float | Tensor) -> None:
        if self.tile.input_range is not None:
            self.tile.input_range.copy_(torch.as_tensor(value))

    def _observe_max(self, x: Tensor) -> None:
        self.value = max(self.value, float(x.abs().max()))

    def _observe_sample(self, x: Tensor) -> None:
        """Keep a random sample of the vectors seen so far."""
        kept = x if self.cache is None else torch.cat([self.cache, x])
        if len(kept) > self.settings.max_samples:
            stream = generator(self.settings.seed, Purpose.CALIBRATION, *self.tile.key, self.seen)
            chosen = torch.randperm(len(kept), generator=stream)[: self.settings.max_samples]
            kept = kept[chosen.to(kept.device)]
        self.cache = kept

    def _observe_quantile(self, x: Tensor) -> None:
        self._average(_quantile(x, self.settings.quantile))

    def _observe_std(self, x: Tensor) -> None:
        if self.seen < self.settings.max_samples and x.numel() > 1:
            alpha = self.settings.std_alpha or self.tile.rpu_config.pre_post.input_range.init_std_alpha
            self._average(alpha * float(x.std()))

    def _average(self, newest: float) -> None:
        """Move the range itself, so that later layers see this layer's real outputs."""
        if newest > 0:
            self.value = (self.value * self.seen + newest) / (self.seen + 1)
            self._set(self.value)


def _quantile(x: Tensor, share: float) -> float:
    """Return the linearly interpolated quantile of |x|, for tensors of any size."""
    values = x.abs().flatten().double()
    position = share * (values.numel() - 1)
    below = int(position)
    top = values.topk(values.numel() - below).values.flip(0)
    upper = top[min(1, len(top) - 1)]
    return float(top[0] + (upper - top[0]) * (position - below))
