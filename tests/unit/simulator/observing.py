"""What one tile does under a configuration, aspect by aspect: the ground of the metamorphic tests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from simulator.config import InferenceRPUConfig, resolve
from simulator.nn import AnalogLinear, convert_to_analog, post_update_step
from simulator.rng import Purpose, generator

BATCHES = 3
T_INFERENCE_S = 7200.0


def observe(node: dict[str, Any]) -> dict[str, list[Tensor]]:
    """Return what can be seen of a linear layer, by aspect; nothing is the same by chance.

    tiles: shapes of the tiles. mapping: weights on the crossbars and scales. parameters: what is trained.
    forward: outputs of the clean weights in evaluation. programmed: weights after programming. drifted:
    weights that are read two hours later. compensation: its factors then. training: outputs of training
    forwards. update: weights and scales after optimiser steps. range: input ranges after them.
    """
    config = resolve(node)
    seen: dict[str, list[Tensor]] = {}
    layer = _layer(config)
    tiles = [tile for _, tile in layer.tile_slots()]
    seen["tiles"] = [torch.tensor(slot.shape) for slot in layer.slots]
    seen["mapping"] = list(_mapping(layer))
    seen["parameters"] = [torch.tensor(parameter.shape) for parameter in layer.parameters()]
    with torch.no_grad():
        for tile in tiles:  # what AverageAbsMax has learned before
            if tile.average_abs_max is not None:
                tile.average_abs_max.fill_(0.8)
        seen["forward"] = [layer(_inputs(batch)) for batch in range(BATCHES)]
        layer.program()
        layer.noise_context.move(t_inference_s=T_INFERENCE_S)
        seen["programmed"] = [tile.chip.devices.weights_OI for tile in tiles]
        layer.drift(T_INFERENCE_S)
        seen["drifted"] = [tile.chip.weights_OI for tile in tiles]
        seen["compensation"] = [
            tile.chip.compensation for tile in tiles if tile.chip.compensation is not None
        ]
    seen |= _train(config)
    return seen


def changed(before: dict[str, Any], after: dict[str, Any]) -> frozenset[str]:
    """Return the aspects in which two configurations differ."""
    one, other = observe(before), observe(after)
    return frozenset(aspect for aspect in one if not _equal(one[aspect], other[aspect]))


def _train(config: InferenceRPUConfig) -> dict[str, list[Tensor]]:
    """Return what a few training steps do; the loss is linear, so that output noise has no gradient."""
    layer = _layer(config).train()
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.05)
    direction = _draw(64, 10, seed=9)
    outputs = []
    for batch in range(BATCHES):
        layer.noise_context.move(epoch=0, batch=batch)
        y = layer(_inputs(batch))
        outputs.append(y.detach())
        optimiser.zero_grad()
        (y * direction).mean().backward()
        optimiser.step()
        post_update_step(layer)
    ranges = [tile.input_range for _, tile in layer.tile_slots() if tile.input_range is not None]
    return {"training": outputs, "update": list(_mapping(layer)), "range": [one.detach() for one in ranges]}


def _layer(config: InferenceRPUConfig) -> AnalogLinear:
    digital = nn.Linear(24, 10)
    with torch.no_grad():
        weight = _draw(10, 24, seed=1) * torch.linspace(0.1, 0.5, 10).unsqueeze(1)
        weight[3, 5] = 0.0
        digital.weight.copy_(weight)
        digital.bias.copy_(_draw(10, seed=2))
    layer: AnalogLinear = convert_to_analog(nn.Sequential(digital), config)[0].eval()
    return layer


def _mapping(layer: AnalogLinear) -> Iterator[Tensor]:
    for slot, tile in layer.tile_slots():
        yield tile.target_weights(layer.logical_block(slot)).detach().clone()
        for scale in (tile.mapping_scale, tile.out_scaling):
            values = torch.ones(1) if scale is None else scale.detach()
            yield values.expand(tile.out_features).clone()


def _inputs(batch: int) -> Tensor:
    """Vectors of many sizes: small ones beside some that hit any bound."""
    return _draw(64, 24, seed=10 + batch) * torch.logspace(-1.5, 0.8, 64).unsqueeze(1)


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, Purpose.VERIFICATION, "observing"))


def _equal(one: list[Tensor], other: list[Tensor]) -> bool:
    if len(one) != len(other):
        return False
    return all(
        a.shape == b.shape and bool(torch.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True))
        for a, b in zip(one, other, strict=True)
    )


def finite(seen: dict[str, list[Tensor]]) -> bool:
    """Tell whether all that was seen is finite."""
    return all(math.isfinite(float(value.double().sum())) for values in seen.values() for value in values)
