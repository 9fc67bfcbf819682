"""Chips in service: brought from one evaluated time to the next, with what a schedule does to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from simulator.config.maintenance import Schedule, ServiceKind
from simulator.config.services import Programming, Service, planned
from simulator.nn import analog_layers, drift_analog_weights, noise_context, program_analog_weights
from simulator.nn.tile import AnalogTile
from simulator.rng import NoiseContext, Purpose, generator

Inputs = tuple[Tensor, ...]  # of a network, each `[samples, ...]`


@dataclass(frozen=True)
class Upkeep:
    """What is done to chips in service, and with which data.

    Attributes:
        schedule: the services.
        inputs: returns the inputs of the training set; needed where samples run through chips.
        calibrate: calibrates a model's input ranges on such inputs; needed where ranges are calibrated.
        batch_size: samples at once.
        check_stop: called before every batch; raises to stop.
    """

    schedule: Schedule
    inputs: Callable[[], Inputs] | None = None
    calibrate: Callable[[nn.Module, Inputs], Any] | None = None
    batch_size: int = 256
    check_stop: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        kinds = {kind for rule in self.schedule for kind in rule.do}
        faults = []
        if self.inputs is None and any(kind.needs_samples for kind in kinds):
            faults.append("inputs: the schedule runs training samples through chips")
        if self.calibrate is None and ServiceKind.CALIBRATE_INPUT_RANGES in kinds:
            faults.append("calibrate: the schedule calibrates input ranges")
        if faults:
            raise ValueError(f"an upkeep needs {'; '.join(faults)}")


def through_time(
    model: nn.Module, repeat: int, times_s: Sequence[float], upkeep: Upkeep | None = None
) -> Iterator[float]:
    """Program a chip instance and yield each time when the model has come to it.

    Without upkeep, drift compensation is read out at every one of the times. With it, each service of the
    schedule that matters is done at its time, and nothing else after programming. A chip's state at a time
    depends neither on the other times nor on what was computed at them.

    Args:
        model: the converted model, in eval mode; statistics and ranges that services change are put back at
            the end.
        repeat: the chip instance.
        times_s: in s after programming, rising.
        upkeep: what is done to the chip in service; None for a readout at every time.

    Raises:
        TooManyServicesError: too many services must run.
    """
    if upkeep is None:
        program_analog_weights(model, repeat=repeat)
        for time_s in times_s:
            drift_analog_weights(model, t_inference=time_s)
            yield time_s
        return
    visits = planned(upkeep.schedule, times_s)
    context = noise_context(model)
    digital = _DigitalState(model)
    try:
        programmed: Programming | None = None
        for visit in visits:
            for service in visit.services:
                upkeep.check_stop()
                if service.programming != programmed:
                    digital.put_back()
                    programmed = service.programming
                    program_analog_weights(model, repeat=repeat, programming=programmed.number)
                if service.kind is not ServiceKind.REPROGRAM:
                    _come_to(model, service.time_s, programmed)
                    _serve(model, service, upkeep, context, digital)
            if visit.programming != programmed:
                programmed = visit.programming
                program_analog_weights(model, repeat=repeat, programming=programmed.number)
            _come_to(model, visit.time_s, programmed)
            yield visit.time_s
    finally:
        digital.put_back()


def _come_to(model: nn.Module, time_s: float, programming: Programming) -> None:
    drift_analog_weights(model, t_inference=time_s, programmed_at=programming.time_s, compensate=False)


def _serve(
    model: nn.Module, service: Service, upkeep: Upkeep, context: NoiseContext | None, digital: _DigitalState
) -> None:
    """Do a service to a chip that has come to its time."""
    if context is None:
        return
    if service.kind is ServiceKind.COMPENSATE:
        for _, layer in analog_layers(model):
            layer.compensate()
        return
    context.service = (service.kind.value, service.again, service.time_s)
    try:
        if upkeep.inputs is None:
            return
        chosen = _chosen(upkeep.inputs(), service, context)
        if service.kind is ServiceKind.REFRESH_BATCH_NORM:
            refresh_batch_norm(model, chosen, batch_size=upkeep.batch_size, check_stop=upkeep.check_stop)
        elif upkeep.calibrate is not None:
            digital.put_back_ranges()  # ranges do not depend on those of earlier services
            _calibrate(model, chosen, upkeep.calibrate)
    finally:
        context.service = ()


def _chosen(inputs: Inputs, service: Service, context: NoiseContext) -> Inputs:
    """Return the samples of a service, drawn anew for each chip and service, in the order of the draw."""
    where = (service.kind.value, service.again, context.repeat, service.time_s)
    stream = generator(context.seed, Purpose.SAMPLE_ORDER, *where)
    order = torch.randperm(len(inputs[0]), generator=stream)[: service.samples]
    return tuple(tensor[order.to(tensor.device)] for tensor in inputs)


def _calibrate(model: nn.Module, inputs: Inputs, calibrate: Callable[[nn.Module, Inputs], Any]) -> None:
    """Find the values of the input ranges anew; whether they take the place of noise management stays."""
    tiles = [_RangeState(tile) for _, layer in analog_layers(model) for _, tile in layer.tile_slots()]
    calibrate(model, inputs)
    for tile in tiles:
        tile.keep_kind()


@torch.no_grad()
def refresh_batch_norm(
    model: nn.Module,
    inputs: Inputs,
    *,
    batch_size: int = 256,
    check_stop: Callable[[], None] = lambda: None,
) -> None:
    """Run the statistics of batch normalisation anew, in place (AdaBS; Joshi et al., Nat. Commun. 11, 2473).

    The samples pass once through the network as it is, programmed or not; meanwhile each normalisation uses
    the statistics of its batch, and what remains is the plain mean and variance over all samples and places.

    Args:
        model: any model; one without batch normalisation is left alone.
        inputs: of the network, at least 2 samples.
        batch_size: samples at once, at least 2; batches differ by one sample at the most.
        check_stop: called before every batch; raises to stop.
    """
    layers = batch_norms(model)
    if not layers:
        return
    context = noise_context(model)
    time_s = None if context is None else context.t_inference_s
    sums = [_Sums(layer) for layer in layers]
    try:
        parts = max(1, len(inputs[0]) // max(2, batch_size))
        for number, batch in enumerate(zip(*(one.tensor_split(parts) for one in inputs), strict=True)):
            check_stop()
            if context is not None:
                context.move(t_inference_s=time_s, batch=number)
            model(*batch)
    finally:
        for one in sums:
            one.end()
    for one in sums:
        one.set()


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """Return the modules of batch normalisation that have statistics of their own."""
    base = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - torch names the base class so
    return [one for one in model.modules() if isinstance(one, base) and one.running_mean is not None]


class _Sums:
    """Adds up what arrives at one normalisation, which uses the statistics of its batches meanwhile."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._count = 0
        self._sum: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0
        self._before = (layer.training, layer.track_running_stats)
        layer.train()
        layer.track_running_stats = False  # torch then leaves the running statistics alone
        self._handle = layer.register_forward_pre_hook(self._add)

    def _add(self, _layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        x = arguments[0].double()
        places = [axis for axis in range(x.dim()) if axis != 1]
        self._count += x.numel() // x.shape[1]
        self._sum = self._sum + x.sum(dim=places)
        self._squares = self._squares + x.square().sum(dim=places)

    def end(self) -> None:
        self._handle.remove()
        training, tracked = self._before
        self._layer.train(training)
        self._layer.track_running_stats = tracked

    def set(self) -> None:
        """Let the layer have the mean and variance; one that the samples did not reach keeps its own."""
        if not self._count:
            return
        mean = torch.as_tensor(self._sum / self._count)
        variance = torch.as_tensor(self._squares / self._count) - mean.square()
        self._layer.running_mean.copy_(mean)
        self._layer.running_var.copy_(variance.clamp(min=0))


class _RangeState:
    """The input range of a tile as it was."""

    def __init__(self, tile: AnalogTile) -> None:
        self._tile = tile
        self._range = None if tile.input_range is None else tile.input_range.detach().clone()
        self._calibrated = None if tile.range_calibrated is None else bool(tile.range_calibrated)

    def put_back(self) -> None:
        """Give the tile its range as it was."""
        if self._range is None:
            if self._tile.input_range is not None:
                self._tile.disable_input_range()
        elif self._tile.input_range is not None:
            with torch.no_grad():
                self._tile.input_range.copy_(self._range)
        self.keep_kind()

    def keep_kind(self) -> None:
        """Let the tile run as before behind its range: only a tile that had one has one."""
        if self._range is None and self._tile.input_range is not None:
            self._tile.disable_input_range()
        if self._tile.range_calibrated is not None and self._calibrated is not None:
            self._tile.range_calibrated.fill_(self._calibrated)
        self._tile.recompile()


class _DigitalState:
    """What services change besides the chip: statistics of batch normalisation, and input ranges."""

    def __init__(self, model: nn.Module) -> None:
        self._ranges = [
            _RangeState(tile) for _, layer in analog_layers(model) for _, tile in layer.tile_slots()
        ]
        self._statistics: list[tuple[Tensor, Tensor]] = [
            (tensor, tensor.detach().clone())
            for layer in batch_norms(model)
            for tensor in (layer.running_mean, layer.running_var)
            if isinstance(tensor, Tensor)
        ]

    def put_back(self) -> None:
        """Give the model its ranges and statistics as they were."""
        with torch.no_grad():
            for tensor, before in self._statistics:
                tensor.copy_(before)
        self.put_back_ranges()

    def put_back_ranges(self) -> None:
        """Give the model its input ranges as they were."""
        for one in self._ranges:
            one.put_back()
