"""Layer sensitivity: the variant's network with some layers digital, and how well each does on its tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from simulator.config import LayerRules, Variant
from simulator.config.analyses.layer_sensitivity import digital_layers, literal
from simulator.maintenance import through_time
from simulator.nn import (
    analyse_layers,
    convert_to_digital,
)
from worker.job_models import JobModels
from worker.runner.context import ItemContext

_SAMPLES = 64  # of the training set, for signal-to-noise ratios


def network(item: ItemContext, coordinates: Mapping[str, Any]) -> nn.Module:
    """Return the network with the layers digital that the coordinates name, and no others of its tiles.

    It is that of a job with these `layers.digital`, bit for bit: input ranges are calibrated anew. What was
    trained under analog noise is as the job trained it, with its ranges; some layers come off the tiles.
    """
    models = JobModels(item)
    digital = digital_layers(coordinates, on_tiles(item))
    if item.variant is Variant.HWA:
        return convert_to_digital(models.ready(item.variant), layers=digital)
    rules = models.spec.rules
    kept = (*rules.digital, *(literal(name) for name in digital))
    partly = JobModels(item, rules=LayerRules(digital=kept, overrides=rules.overrides))
    return partly.calibrated(partly.analog(item.variant))


def on_tiles(item: ItemContext) -> list[str]:
    """Return the names of the layers that lie on tiles in the job, as the model's report has them."""
    rules = JobModels(item).spec.rules
    report = item.model.report["layers"]
    return [one["name"] for one in report if one["kind"] == "analog" and not rules.is_digital(one["name"])]


def observe(
    item: ItemContext, _: Mapping[str, Any], times_s: Sequence[float]
) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield the signal-to-noise ratio of each layer in dB, on the first training samples."""
    models = JobModels(item)
    model = models.ready(item.variant)
    inputs = models.train.first(_SAMPLES).inputs
    for t_inference_s in through_time(model, 0, times_s, models.upkeep(models.evaluate.maintenance)):
        item.check_stop()
        seen = {found.name: found.snr_db for found in analyse_layers(model, *inputs)}
        shown = {name: "inf" if snr == math.inf else snr for name, snr in seen.items()}
        yield t_inference_s, {"snr_db": shown}
