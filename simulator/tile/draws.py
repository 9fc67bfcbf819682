"""Large draws: on the CPU, in chunks with streams of their own, by as many threads as torch uses.

A torch generator fills a tensor on one thread, which would take longer than a whole convolution on many. The
chunks do not depend on the number of threads, so neither do the numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor

from simulator import rng

_CHUNK = 1 << 18
_SEED_LIMIT = 1 << 62

Fill = Callable[[Tensor, torch.Generator], object]


def normal_like(values: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return standard normal draws of the shape, type and device of the values."""
    return _filled(values, generator, lambda part, stream: part.normal_(generator=stream))


def dither_like(values: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return draws from U(-0.5, 0.5) of the shape, type and device of the values."""
    return _filled(values, generator, lambda part, stream: part.uniform_(-0.5, 0.5, generator=stream))


def _filled(values: Tensor, generator: torch.Generator | None, fill: Fill) -> Tensor:
    if generator is None:
        raise ValueError("random numbers are drawn here: pass the generator of the call's stream")
    draws = torch.empty(values.shape, dtype=values.dtype, device=values.device)
    if draws.device.type != "cpu" or draws.numel() <= _CHUNK:
        fill(draws, generator)
        return draws
    parts = torch.split(draws.view(-1), _CHUNK)
    seeds = torch.randint(_SEED_LIMIT, (len(parts),), generator=generator).tolist()
    inference = torch.is_inference_mode_enabled()

    def fill_part(index: int) -> None:
        with torch.inference_mode(inference):
            fill(parts[index], rng.generator(seeds[index], rng.Purpose.FORWARD, index))

    workers = min(torch.get_num_threads(), len(parts))
    if workers == 1:
        for index in range(len(parts)):
            fill_part(index)
    else:
        list(_pool(os.getpid(), torch.get_num_threads()).map(fill_part, range(len(parts))))
    return draws


@lru_cache(maxsize=1)
def _pool(_process: int, workers: int) -> ThreadPoolExecutor:
    """Threads of this process: a fork does not inherit them, and asks for its own by its number."""
    return ThreadPoolExecutor(workers, thread_name_prefix="draws")
