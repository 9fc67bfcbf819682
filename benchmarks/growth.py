"""How time grows with the work: `python -m benchmarks.growth` writes growth.json and growth.png here.

One axis at a time: samples in a batch, width of a layer, tiles of a layer, chip instances, times, processes.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor, nn

from benchmarks import networks
from benchmarks.chips import cells
from benchmarks.steps import evaluation_batch
from benchmarks.timing import best_of
from examples.resnet import resnet20
from simulator import rng
from simulator.config import InferenceRPUConfig
from simulator.memory import keep_freed_memory
from simulator.nn import convert_to_analog

RESULTS = Path(__file__).with_name("growth.json")
CELLS_OF_A_WORKER = 12
PROCESSES = (1, 2)

Points = dict[int, float]


def main() -> None:
    keep_freed_memory()
    axes: dict[str, Callable[[], Points]] = {
        "samples in a batch": _batches,
        "width of a linear layer": _widths,
        "tiles of a linear layer": _tiles,
        "chip instances": _repeats,
        "times of an instance": _times,
        "worker processes, the same work in all": _workers,
    }
    found = {name: measure() for name, measure in track(list(axes.items()))}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    _draw(found)


def _network() -> tuple[nn.Module, Tensor]:
    with rng.as_default(0, rng.Purpose.INITIAL_WEIGHTS):
        return resnet20(), torch.randn(64, 3, 32, 32)


def _analog(digital: nn.Module, config: InferenceRPUConfig | None = None) -> nn.Module:
    return convert_to_analog(digital, config or networks.pcm_example(), check=False)


def _batches() -> Points:
    digital, images = _network()
    model = _analog(digital)
    return _best({size: evaluation_batch(model, images[:size]) for size in (2, 4, 8, 16, 32, 64)})


def _widths() -> Points:
    works = {}
    for width in (64, 128, 256, 512, 1024, 2048):
        config = networks.pcm_example()
        config.mapping.max_input_size = config.mapping.max_output_size = 0
        works[width] = evaluation_batch(_analog(nn.Linear(width, width), config), torch.randn(64, width))
    return _best(works)


def _tiles() -> Points:
    works = {}
    for size in (1024, 512, 256, 128):
        config = networks.pcm_example()
        config.mapping.max_input_size = config.mapping.max_output_size = size
        works[(1024 // size) ** 2] = evaluation_batch(
            _analog(nn.Linear(1024, 1024), config), torch.randn(64, 1024)
        )
    return _best(works)


def _repeats() -> Points:
    return _best({count: lambda count=count: _cells(count, 1) for count in (1, 2, 4, 8)}, seconds=4.0)


def _times() -> Points:
    return _best({count: lambda count=count: _cells(1, count) for count in (1, 2, 4, 8)}, seconds=4.0)


def _workers() -> Points:
    """Wall-clock time of the same cells on one and more processes, each with one thread."""
    result = {}
    for count in PROCESSES:
        with multiprocessing.get_context("spawn").Pool(count) as pool:
            pool.map(_share, [1] * count)  # imports
            start = time.perf_counter()
            pool.map(_share, [CELLS_OF_A_WORKER // count] * count)
            result[count] = time.perf_counter() - start
    return result


def _share(count: int) -> None:
    keep_freed_memory()
    torch.set_num_threads(1)
    _cells(count, 1)


def _cells(repeats: int, times: int) -> None:
    times_s = [3600.0 * (1 + index) for index in range(times)]
    cells(*_network(), networks.pcm_example(), repeats=repeats, times_s=times_s)


def _best(works: dict[int, Callable[[], object]], seconds: float = 3.0) -> Points:
    named = {str(size): work for size, work in works.items()}
    return {int(size): value for size, value in best_of(named, seconds=seconds, least=3).items()}


def _draw(found: dict[str, Points]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.2))
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 3)
    for axes, (name, points) in zip(panels.flat, found.items(), strict=True):
        sizes, milliseconds = list(points), [1e3 * value for value in points.values()]
        axes.plot(sizes, milliseconds, "o-", label="measured")
        falls = milliseconds[-1] < milliseconds[0]
        share = [sizes[0] / size if falls else size / sizes[0] for size in sizes]
        if name.startswith("width"):
            share = [value**2 for value in share]
        axes.plot(sizes, [milliseconds[0] * value for value in share], ":", color="grey", label="as the work")
        axes.set(xscale="log", yscale="log", xlabel=name, ylabel="ms")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
    panels.flat[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(RESULTS.with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
