"""Advice: settings tried on training batches and the first chip, and the network with what is advised."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

import torch
from torch import Tensor, nn

from simulator.config import InferenceRPUConfig, LayerRules, Variant, with_overrides
from simulator.config.analyses import Advice
from simulator.config.analyses.advice import bits_of, overrides_of, resolution_of
from simulator.config.tasks import QUANTITIES, TASKS
from simulator.evaluate import Samples, score
from simulator.maintenance import through_time
from simulator.nn import (
    ConverterAdvice,
    LayerAnalysis,
    advise_converters,
    analog_layers,
    analyse_layers,
    convert_to_digital,
    noise_context,
)
from worker.items.analyses.layer_sensitivity import on_tiles
from worker.job_models import JobModels
from worker.runner.context import ItemContext

WORTH_DB: Final = 0.5  # of the network's output: what wins less is not advised
_SAMPLES: Final = 32  # with which converters are tried
_OMEGAS: Final = (1.0, 0.7, 0.5)
_COLUMNWISE, _OMEGA = "mapping.weight_scaling_columnwise", "mapping.weight_scaling_omega"
_FIELDS: Final = {"dac": ("inp_bound", "inp_res"), "adc": ("out_bound", "out_res")}

Change = dict[str, Any]


def network(item: ItemContext, coordinates: Mapping[str, Any]) -> nn.Module:
    """Return the network with the changes that the coordinates tell, as a job with them would have it.

    What was trained under analog noise is as the job trained it, on the changed hardware.
    """
    return changed(item, coordinates["changes"])


def changed(item: ItemContext, changes: Sequence[Mapping[str, Any]]) -> nn.Module:
    """Return the variant's network with changes made, ready to be programmed."""
    job = JobModels(item)
    if not changes:
        return job.ready(item.variant)
    whole, overrides = overrides_of(changes)
    rules = LayerRules.model_validate(
        {"digital": job.rules.digital, "overrides": (*job.rules.overrides, *overrides)}
    )
    models = JobModels(item, config=with_overrides(job.config, whole), rules=rules)
    if item.variant is not Variant.HWA:
        return models.calibrated(models.analog(item.variant))
    trained = job.ready(item.variant)
    model = models.convert(convert_to_digital(trained)).eval()
    _take_ranges(trained, model)
    return model


def _take_ranges(trained: nn.Module, model: nn.Module) -> None:
    """Take the input ranges of a trained network over to the tiles of the changed one."""
    layers = dict(analog_layers(trained))
    for name, layer in analog_layers(model):
        for (_, mine), (_, its) in zip(layer.tile_slots(), layers[name].tile_slots(), strict=True):
            if mine.input_range is None or its.input_range is None:
                continue
            mine.input_range.data.copy_(its.input_range.data)
            if mine.range_calibrated is not None and its.range_calibrated is not None:
                mine.range_calibrated.copy_(its.range_calibrated)
            mine.recompile()


def observe(
    item: ItemContext, _: Mapping[str, Any], times_s: Sequence[float]
) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield what training batches on the first chip advise, at a time in s."""
    for t_inference_s in times_s:
        yield t_inference_s, _Looking(item, t_inference_s).found()


class _Looking:
    """Tries settings one after another: those of the mapping, then converters on the better mapping."""

    def __init__(self, item: ItemContext, t_inference_s: float) -> None:
        self._item = item
        self._t_inference_s = t_inference_s
        self._models = JobModels(item)
        advice = next(one for one in self._models.spec.analyses if isinstance(one, Advice))
        size = self._models.evaluate.batch_size
        self._samples: Samples = self._models.train.first(size * advice.batches)
        self._first = self._samples.first(size).inputs
        with torch.no_grad():
            digital = JobModels(item).digital(item.variant)
            self._ideal: Tensor = digital(*self._first).double()

    def found(self) -> dict[str, Any]:
        """Return what is advised, and what it was seen by."""
        base = now = self._try([])
        changes: list[Change] = []
        for change in self._mapping():
            tried = self._try([*changes, change])
            if tried["snr_db"] - now["snr_db"] < WORTH_DB:
                continue
            changes = [one for one in changes if one["field"] != change["field"]]
            changes.append({**change, **_gains(tried, now)})
            now = tried
        inputs = tuple(one[:_SAMPLES] for one in self._first)
        with self._in_service(changed(self._item, changes)) as model:
            converters = advise_converters(model, *inputs, check_stop=self._item.check_stop)
            seen = {one.name: one for one in analyse_layers(model, *inputs)}
        known = set(on_tiles(self._item))
        per_layer = [change for one in converters if one.layer in known for change in _changes(one, model)]
        together = self._try([*changes, *per_layer]) if per_layer else now
        return {
            "samples": len(self._samples),
            "base": base,
            "changes": [*changes, *per_layer],
            "together": {**together, **_gains(together, base)},
            "converters": [_told(one, seen.get(one.layer)) for one in converters],
        }

    def _mapping(self) -> Iterator[Change]:
        """Yield what to try of the mapping, one after another."""
        mapping = self._models.config.mapping
        omega, columnwise = mapping.weight_scaling_omega, mapping.weight_scaling_columnwise
        if omega == 0:
            yield _change(None, _OMEGA, omega, after=1.0)
        if not columnwise:
            yield _change(None, _COLUMNWISE, columnwise, after=True)
        for other in _OMEGAS:
            if omega not in (0, other):
                yield _change(None, _OMEGA, omega, after=other)

    def _try(self, changes: Sequence[Change]) -> dict[str, Any]:
        """Return the metric on the training batches with some changes, and the outputs' ratio in dB."""
        task = self._models.task
        with self._in_service(changed(self._item, changes)) as model:
            context = noise_context(model)
            if context is not None:
                context.at_batch(0)
            with torch.inference_mode():
                error = float((model(*self._first).double() - self._ideal).square().sum())
            result = score(
                model,
                self._samples,
                task=task,
                batch_size=self._models.evaluate.batch_size,
                check_stop=self._item.check_stop,
            )
        signal = float(self._ideal.square().sum())
        ratio = -200.0
        if signal > 0 and math.isfinite(error):
            ratio = 200.0 if error == 0 else 10 * (math.log10(signal) - math.log10(error))
        metric = QUANTITIES[TASKS[task].metric].value(result.counts())
        return {"metric": metric, "snr_db": ratio}

    @contextmanager
    def _in_service(self, model: nn.Module) -> Iterator[nn.Module]:
        """Program the first chip, and bring it to the time that is looked at."""
        upkeep = self._models.upkeep(self._models.evaluate.maintenance)
        for _ in through_time(model, 0, [self._t_inference_s], upkeep):
            yield model


def _change(layer: str | None, field: str, before: Any, *, after: Any) -> Change:
    return {"layer": layer, "field": field, "from": before, "to": after}


def _gains(after: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the metric rises by, whichever direction is better, and the ratio in dB."""
    is_known = after["metric"] is not None and before["metric"] is not None
    return {
        "metric_change": after["metric"] - before["metric"] if is_known else None,
        "snr_gain_db": after["snr_db"] - before["snr_db"],
    }


def _changes(one: ConverterAdvice, model: nn.Module) -> Iterator[Change]:
    """Yield the changes of one converter that are worth it."""
    bound_field, resolution_field = _FIELDS[one.converter]
    layer = dict(analog_layers(model))[one.layer]
    config: InferenceRPUConfig = layer.rpu_config
    if one.best_bound != one.bound:
        change = _change(one.layer, f"forward.{bound_field}", one.bound, after=one.best_bound)
        yield {**change, "metric_change": None, "snr_gain_db": one.best_snr_db - one.snr_db}
    resolution = float(getattr(config.forward, resolution_field))
    if one.fewest_bits is None or resolution <= 0 or bits_of(resolution) >= one.fewest_bits - 1e-6:
        return
    gain = dict(one.by_bits)[one.fewest_bits] - one.best_snr_db
    if gain >= WORTH_DB:
        after = resolution_of(one.fewest_bits)
        change = _change(one.layer, f"forward.{resolution_field}", resolution, after=after)
        yield {**change, "metric_change": None, "snr_gain_db": gain}


def _told(one: ConverterAdvice, seen: LayerAnalysis | None) -> dict[str, Any]:
    """Return what is known of a converter, with a histogram of what it gets in units of its bound."""
    told = asdict(one)
    histogram = None if seen is None else seen.dac if one.converter == "dac" else seen.adc
    told["histogram"] = None if histogram is None else asdict(histogram)
    clipped = [] if seen is None else [getattr(tile, f"{one.converter}_clipped") for tile in seen.tiles]
    told["clipped"] = max((share for share in clipped if share is not None), default=None)
    for name in ("by_bound", "by_bits"):
        told[name] = [[value, max(ratio, -200.0)] for value, ratio in told[name]]
    told["unquantised_db"] = max(one.unquantised_db, -200.0)
    return told
