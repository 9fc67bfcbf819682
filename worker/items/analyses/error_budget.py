"""The error budget: the variant's network on hardware with some groups of effects off."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from simulator.config.analyses.error_budget import effects_on
from simulator.config.effects import SWITCHED, Effect, without_effects
from simulator.nn import TileMode, analog_layers
from worker.job_models import JobModels
from worker.runner.context import ItemContext


def network(item: ItemContext, coordinates: Mapping[str, Any]) -> nn.Module:
    """Return the network with the groups of effects on that the coordinates name, and no others.

    Input ranges are those of the job: with the input converter off they scale, and do not clip.
    """
    off = frozenset(SWITCHED) - effects_on(coordinates)
    models = JobModels(item, configure=partial(without_effects, off=off))
    model = models.ready(item.variant)
    if Effect.INPUT_CONVERTER in off:
        for _, layer in analog_layers(model):
            for _, tile in layer.tile_slots():
                tile.set_mode(TileMode(clips_inputs=False))
    return model
