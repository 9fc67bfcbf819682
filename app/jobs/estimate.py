"""What a job would be: its tiles and devices, and how long it would take, from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.cost.schemas import CostView
from app.db.tables import Speed, WorkItem
from app.engine.keys import ItemKey, ItemKind
from app.engine.kinds.analyses.plan import analysis_cells, analysis_services
from app.engine.kinds.inference.plan import Sizes
from app.jobs.repository import KnownResults
from app.jobs.schemas import DryRunView
from simulator.config import InferenceRPUConfig, LayerRules, NoiseManagementType, Variant
from simulator.config.job import JobSpec
from simulator.config.services import Service, planned
from simulator.config.tiling import tile_cells, weight_slots

_ASSUMED_POSITIONS = 1  # of a layer whose input size is open
# What the service adds, in seconds, as measured on two cores: a process with the model in it, a stored cell.
_ITEM_S = 0.15
_CELL_S = 0.005


@dataclass(frozen=True)
class Size:
    """How much a pass of one sample is.

    Attributes:
        macs: multiply-accumulates.
        elements: numbers that pass converters: inputs and outputs of all tiles.
    """

    macs: int = 0
    elements: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.macs + other.macs, self.elements + other.elements)


@dataclass
class _Layers:
    tiles: int = 0
    devices: int = 0
    used_cells: int = 0
    cells: int = 0
    static: Size = Size()
    dynamic: Size = Size()
    digital: Size = Size()
    # Of drift compensation: every tile reads out its own weights.
    static_readout: Size = Size()
    dynamic_readout: Size = Size()


def dry_run(
    spec: JobSpec,
    *,
    chips: int,
    config: InferenceRPUConfig,
    training: InferenceRPUConfig,
    report: dict[str, Any],
    sizes: Sizes,
    items: Sequence[WorkItem],
    known: KnownResults,
    speed: Speed | None,
    warnings: list[dict[str, Any]],
    cost: dict[str, Any] | None = None,
) -> DryRunView:
    """Return what a valid job would be.

    Args:
        spec: the job.
        chips: how many it evaluates.
        config: its configuration.
        training: that of its training under analog noise.
        report: its model's.
        sizes: samples of an epoch and of a pass over the test set.
        items: its work items.
        known: what earlier jobs have of it.
        speed: a worker's measured speed; without one there is no estimate of time.
        warnings: what the checks warned of.
        cost: of an inference, where the job names hardware.
    """
    layers = _measure(report, config, spec.rules)
    visits = planned(spec.evaluate.maintenance or (), spec.evaluate.t_inference)
    services = [service for visit in visits for service in visit.services]
    warnings = list(warnings)
    more = analysis_cells(items, spec)
    seconds = None
    if speed is None:
        message = "no worker has measured its speed yet, so there is no estimate of seconds"
        warnings.append({"pointer": "", "code": "speed_unknown", "message": message})
    else:
        trained = layers if training is config else _measure(report, training, spec.rules)
        seconds = _seconds(
            spec,
            layers,
            sizes,
            known,
            speed.measured,
            trained=trained,
            chips=chips,
            more_cells=more,
            services=services,
            more_services=list(analysis_services(items, spec)),
        )
        seconds += len(items) * _ITEM_S
    return DryRunView(
        valid=True,
        tiles=layers.tiles,
        devices=layers.devices,
        utilisation=layers.used_cells / layers.cells if layers.cells else 1.0,
        cells=len(spec.analog) * chips * len(spec.evaluate.t_inference),
        cached_cells=sum(known.cells.values()),
        analysis_cells=more,
        services=len(spec.analog) * chips * len(services),
        estimated_seconds=seconds,
        cost=None if cost is None else CostView.model_validate(cost),
        warnings=warnings,
    )


def _measure(report: dict[str, Any], base: InferenceRPUConfig, rules: LayerRules) -> _Layers:
    layers = _Layers()
    candidates = [layer for layer in report["layers"] if layer["kind"] == "analog"]
    digital = {layer["name"] for layer in candidates if rules.is_digital(layer["name"])}
    configs = rules.configs_for([one["name"] for one in candidates if one["name"] not in digital], base)
    for layer in candidates:
        shapes = layer.get("matrices") or [layer["weight_shape"]]
        positions = layer.get("positions") or _ASSUMED_POSITIONS
        groups = layer.get("groups", 1)
        macs = positions * sum(math.prod(shape) for shape in shapes)
        if layer["name"] in digital:
            layers.digital += Size(macs, positions * sum(shape[0] for shape in shapes))
            continue
        config = configs[layer["name"]]
        bias = layer.get("bias", False)
        slots = [
            slot
            for shape in shapes
            for slot in weight_slots(shape, groups, has_bias=bias, mapping=config.mapping)
        ]
        weights = sum(math.prod(slot.shape) for slot in slots)
        layers.tiles += len(slots)
        layers.used_cells += weights
        layers.devices += weights * config.noise_model.devices_per_weight
        layers.cells += sum(tile_cells(slot.shape, config.mapping) for slot in slots)
        size = Size(macs, positions * sum(sum(slot.shape) for slot in slots))
        readout = Size()
        if config.drift_compensation is not None:
            for outputs, inputs in (slot.shape for slot in slots):
                readout += Size(inputs * inputs * outputs, inputs * (inputs + outputs))
        if _is_static(config):
            layers.static += size
            layers.static_readout += readout
        else:
            layers.dynamic += size
            layers.dynamic_readout += readout
    return layers


def _is_static(config: InferenceRPUConfig) -> bool:
    """Return whether the input scale is the same for all vectors, which is computed faster."""
    fixed = (NoiseManagementType.NONE, NoiseManagementType.CONSTANT)
    is_calibrated = config.pre_post.input_range.enable  # a job calibrates every range
    return is_calibrated or config.forward.is_perfect or config.forward.noise_management in fixed


def _seconds(
    spec: JobSpec,
    layers: _Layers,
    sizes: Sizes,
    known: KnownResults,
    speed: dict[str, Any],
    *,
    trained: _Layers,
    chips: int,
    more_cells: int = 0,
    services: Sequence[Service] = (),
    more_services: Sequence[tuple[Service, int]] = (),
) -> float:
    """Return the seconds that one worker computes and stores, without the starts of its items.

    `services` are those of one chip in the job itself, `more_services` those of its analyses, each with the
    number of chips.
    """
    evaluate = spec.evaluate
    plain = layers.static + layers.dynamic + layers.digital
    passes = {
        "digital": _time(plain, speed["evaluate"]["digital"]),
        "analog": _time(layers.static, speed["evaluate"]["static"])
        + _time(layers.dynamic, speed["evaluate"]["dynamic"])
        + _time(layers.digital, speed["evaluate"]["digital"]),
    }
    steps = {
        Variant.CONTROL: _time(plain, speed["train"]["digital"]),
        Variant.HWA: _time(trained.static, speed["train"]["static"])
        + _time(trained.dynamic, speed["train"]["dynamic"])
        + _time(trained.digital, speed["train"]["digital"]),
    }
    times = len(evaluate.t_inference)
    missing = [chips * times - known.cells.get(variant, 0) for variant in spec.analog]
    cells = sum(missing) + more_cells  # hardware with something off takes no longer
    seconds = cells * sizes.test * passes["analog"]
    if str(ItemKey(ItemKind.BASELINE, Variant.DIGITAL)) not in known.done:
        seconds += sizes.test * passes["digital"]
    readout = _time(layers.static_readout, speed["evaluate"]["static"])
    readout += _time(layers.dynamic_readout, speed["evaluate"]["dynamic"])
    programmed = sum(math.ceil(count / times) for count in missing) + more_cells
    calls = math.ceil(sizes.test / evaluate.batch_size) + 1
    seconds += (cells + programmed) * (readout + layers.devices * speed["program_device"])
    seconds += cells * (calls * layers.tiles * speed["call"]["evaluate"] + _CELL_S)
    served = sum(math.ceil(count / times) for count in missing)  # chips with cells to compute
    drifted = readout + layers.devices * speed["program_device"]
    for service, count in (*((service, served) for service in services), *more_services):
        passed = min(service.samples, sizes.train) * passes["analog"] if service.kind.needs_samples else 0.0
        seconds += count * (drifted + passed)
    if spec.finetune is not None:
        for variant in spec.trained:
            if str(ItemKey(ItemKind.BASELINE, variant)) not in known.done:
                seconds += sizes.test * passes["digital"]
            if str(ItemKey(ItemKind.FINETUNE, variant)) in known.done:
                continue
            seconds += spec.finetune.epochs * sizes.train * steps[variant]
            batches = spec.finetune.epochs * math.ceil(sizes.train / spec.finetune.batch_size)
            seconds += batches * layers.tiles * speed["call"]["train"]
    return float(seconds)


def _time(size: Size, rates: dict[str, float]) -> float:
    return size.macs * rates["mac"] + size.elements * rates["element"]


def fastest(speeds: Iterable[Speed], threads: int) -> Speed | None:
    """Return the speed to estimate with: the fastest machine that was measured with so many threads."""
    measured = [speed for speed in speeds if speed.threads == threads]
    return min(measured, key=lambda one: one.measured["evaluate"]["dynamic"]["element"], default=None)
