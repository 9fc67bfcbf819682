"""The random numbers of a forward pass, one for each converted value, and the parameters of chip instances.

Drawing them as torch does, on one thread, takes longer than the convolution that they disturb. Here a normal
is looked up: 16 random bits choose one of 65,536 slices of equal probability of the normal distribution, and
the number is the slice's mean. Scaled to variance one, the table's kurtosis is too small by 2e-4 and its
largest value is 4.39; analog converters have at most some thousands of steps.

Draws are made in blocks by as many threads as torch uses. The blocks do not depend on the number of threads,
so neither do the numbers. A block has eight streams of random words, which give a word each in turn: a
processor with vectors does the arithmetic of all at once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulator import rng
from simulator.rng import Randomness, opened
from simulator.tile.plan import ForwardPlan
from simulator.tile.stages import (
    Nonlinearity,
    OutputLine,
    OutputNoise,
    SeparatePasses,
    SpreadOutputNoise,
)

_SLICES = 1 << 16
BLOCK = 1 << 14  # by one thread, from streams of their own; bits, indices and values stay in the cache
LANES = 8  # streams of a block

Sources = list[np.random.SFC64]
Fill = Callable[[Tensor, Sources], object]


def normal_like(values: Tensor, generator: Randomness | None, deviation: float = 1.0) -> Tensor:
    """Return normal draws of the shape, type and device of the values.

    Args:
        values: the draws are added to something like these.
        generator: the call's stream.
        deviation: the draws' standard deviation.
    """
    draws, stream = _empty_like(values), _need(generator)
    if draws.dtype is not torch.float32 or draws.device.type != "cpu":
        return draws.normal_(0.0, deviation, generator=opened(stream))
    table = normal_table(deviation)
    _fill_blocks(draws, stream, lambda block, sources: _look_up(block, table, sources))
    return draws


def dither_like(values: Tensor, generator: Randomness | None) -> Tensor:
    """Return draws from U(-0.5, 0.5) of the shape, type and device of the values."""
    draws, stream = _empty_like(values), _need(generator)
    if draws.device.type != "cpu":
        return draws.uniform_(-0.5, 0.5, generator=opened(stream))
    _fill_blocks(draws, stream, _fill_uniformly)
    return draws


def block_seeds(values: Tensor, generator: Randomness | None) -> NDArray[np.uint64]:
    """Return the seeds `[blocks * LANES, 3]` of the streams that draws for these values come from."""
    return rng.source_seeds(-(-values.numel() // BLOCK) * LANES, _need(generator))


def _empty_like(values: Tensor) -> Tensor:
    return torch.empty(values.shape, dtype=values.dtype, device=values.device)


def _need(generator: Randomness | None) -> Randomness:
    if generator is None:
        raise ValueError("random numbers are drawn here: pass the generator of the call's stream")
    return generator


@lru_cache(maxsize=16)
def normal_table(deviation: float) -> Tensor:
    """Return the mean of each slice of the distribution, scaled to the standard deviation, `[65536]`."""
    with torch.inference_mode(mode=False):
        edges = torch.special.ndtri(torch.arange(_SLICES + 1, dtype=torch.float64) / _SLICES)
        density = torch.exp(-edges.square() / 2) / math.sqrt(2 * math.pi)
        means = (density[:-1] - density[1:]) * _SLICES
        return (means * (deviation / means.square().mean().sqrt())).float()


def _look_up(block: Tensor, table: Tensor, sources: Sources) -> None:
    torch.index_select(table, 0, torch.from_numpy(_bits(block, sources).astype(np.int32)), out=block)


def _fill_uniformly(block: Tensor, sources: Sources) -> None:
    block.copy_(torch.from_numpy(_bits(block, sources))).add_(0.5).div_(1 << 16).sub_(0.5)


def _bits(block: Tensor, sources: Sources) -> NDArray[np.uint16]:
    rounds = -(-block.numel() // (4 * LANES))
    words = np.empty((rounds, LANES), np.uint64)
    for lane, source in enumerate(sources):
        words[:, lane] = source.random_raw(rounds)
    return words.reshape(-1).view(np.uint16)[: block.numel()]


def _fill_blocks(draws: Tensor, stream: Randomness, fill: Fill) -> None:
    blocks = torch.split(draws.view(-1), BLOCK)
    sources = rng.sources(len(blocks) * LANES, stream)
    workers = min(torch.get_num_threads(), len(blocks))
    if workers == 1:
        for index, block in enumerate(blocks):
            fill(block, sources[index * LANES :][:LANES])
        return
    inference = torch.is_inference_mode_enabled()

    def fill_share(share: int) -> None:
        with torch.inference_mode(inference):
            for index in range(share, len(blocks), workers):
                fill(blocks[index], sources[index * LANES :][:LANES])

    others = [_pool(os.getpid(), workers).submit(fill_share, share) for share in range(1, workers)]
    fill_share(0)
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _pool(_process: int, workers: int) -> ThreadPoolExecutor:
    """Threads of this process: a fork does not inherit them, and asks for its own by its number."""
    return ThreadPoolExecutor(workers, thread_name_prefix="draws")


@dataclass(frozen=True, slots=True)
class PooledNoise:
    """Read noise and output noise in one draw, of deviation `sqrt(noise_input * factor + offset)`.

    Attributes:
        noise_input: what the variance of the read noise grows with; broadcasts over the outputs.
        factor: variance of the read noise for an input of one.
        offset: variance of the output noise.
    """

    noise_input: Tensor
    factor: float
    offset: Tensor | float

    def deviation(self) -> Tensor:
        """Return the deviation as a tensor; the root is the nearest number, which torch's not always is."""
        variance = self.noise_input * self.factor
        if isinstance(self.offset, Tensor) or self.offset > 0:
            variance = variance + self.offset
        if variance.is_cpu and variance.dtype is torch.float32:
            np.sqrt(variance.numpy(), out=variance.numpy())
            return variance
        return variance.sqrt_()

    def is_per_output_of(self, y: Tensor) -> bool:
        """Whether there is an input for each output, so that a tensor of deviations would be large."""
        return self.noise_input.shape == y.shape and not isinstance(self.offset, Tensor)


# --- chip instances -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InstanceParameters:
    """What differs between chips of the same configuration; None where the configuration has no spread.

    Attributes:
        voltage_offset: `[O]`, voltage offset of each output, relative to the read voltage, not negative.
        nonlinearity: `[O]`, slope of each output's nonlinearity, per output unit.
        out_noise: `[O]`, standard deviation of the noise before the ADC, per output.
        read_asymmetry: `[O, I]`, factor of each weight for negative inputs.
    """

    voltage_offset: Tensor | None = None
    nonlinearity: Tensor | None = None
    out_noise: Tensor | None = None
    read_asymmetry: Tensor | None = None


NO_SPREAD = InstanceParameters()


def draw_instance(
    plan: ForwardPlan, out_features: int, in_features: int, generator: torch.Generator
) -> InstanceParameters:
    """Draw the parameters of one chip instance of a tile.

    Args:
        plan: the tile's plan.
        out_features: outputs of the tile.
        in_features: inputs of the tile.
        generator: the instance's stream; its device is where the parameters live.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=generator.device)

    line, saturation = plan.find(OutputLine), plan.find(Nonlinearity)
    noise, passes = plan.find(OutputNoise), plan.find(SeparatePasses)
    offset = nonlinearity = out_noise = asymmetry = None
    if line is not None and line.offset_std > 0:
        offset = (line.offset_std * normal(out_features)).clamp_(min=0)
    if saturation is not None and saturation.spread > 0:
        nonlinearity = (saturation.slope * (1 + saturation.spread * normal(out_features))).abs_()
    if isinstance(noise, SpreadOutputNoise):
        out_noise = (noise.std * (1 + noise.spread * normal(out_features))).abs_()
    if passes is not None and passes.read_asymmetry_std > 0:
        asymmetry = 1 + passes.read_asymmetry_std * normal(out_features, in_features)
    return InstanceParameters(offset, nonlinearity, out_noise, asymmetry)
