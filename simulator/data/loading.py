"""Datasets as torch tensors, resident in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from simulator import rng
from simulator.config.compatibility import inputs_in_order
from simulator.data.catalogue import BUILTINS
from simulator.data.layout import Layout, Part, TargetKind, arrange, split_size
from simulator.data.options import DEFAULT_TEST_FRACTION, DatasetOptions
from simulator.data.reading import read

_BYTE_SCALE = 1 / 255


@dataclass(frozen=True)
class Split:
    """The training or the test set.

    Attributes:
        inputs: tensors `[samples, ...]`: float32, or int64 where the file has integers other than bytes.
        targets: whole numbers `[samples, ...]` (int64), or values `[samples, ...]` (float32), as the file has
            them; `simulator.tasks.targets_for` makes what a task compares outputs with.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor


class Dataset:
    """A dataset. Each part becomes tensors when it is first asked for: evaluation needs no training set.

    Attributes:
        classes: how many, None where the targets are not classes.
        kind: what the targets are.
    """

    def __init__(
        self,
        train: Part,
        test: Part,
        classes: int | None,
        kind: TargetKind,
        to_split: Callable[[Part], Split],
    ) -> None:
        self.classes = classes
        self.kind = kind
        self._parts = train, test
        self._to_split = to_split

    @cached_property
    def train(self) -> Split:
        """The training set."""
        return self._to_split(self._parts[0])

    @cached_property
    def test(self) -> Split:
        """The test set."""
        return self._to_split(self._parts[1])


def load_dataset(
    ref: str,
    path: Path | None = None,
    *,
    file_format: str = "npz",
    options: DatasetOptions | None = None,
    inputs: Sequence[str] = (),
) -> Dataset:
    """Return a dataset.

    Bytes (`uint8`) become numbers from 0 to 1; other integers stay integers, as token ids.

    Args:
        ref: a built-in dataset such as `builtin:mnist10k`, or any name with `path`.
        path: a file.
        file_format: of that file, one of `simulator.data.reading.FORMATS`.
        options: how the file becomes a dataset.
        inputs: the names of a network's inputs, in its order, which the dataset's are brought into; without
            names they stay in that of the file.

    Raises:
        LookupError: there is no such built-in dataset.
        DatasetRejectedError: the file cannot be used.
    """
    if path is not None:
        chosen = options or DatasetOptions()
        layout = arrange(read(path, file_format).arrays)
        chosen.check(layout)
        return _to_torch(_in_order(layout, inputs), _BYTE_SCALE, chosen)
    builtin = BUILTINS.get(ref)
    if builtin is None:
        raise LookupError(f"there is no dataset {ref!r}; built in: {', '.join(sorted(BUILTINS))}")
    return _to_torch(arrange(read(builtin.path, "npz").arrays), builtin.scale, DatasetOptions())


def _in_order(layout: Layout, names: Sequence[str]) -> Layout:
    """Return a dataset with its inputs in the order of a network's, as far as their names say it."""
    given = list(layout.train.inputs)
    order = inputs_in_order(names, given) if len(names) == len(given) else None
    if order is None:
        return layout
    chosen = [given[place] for place in order]
    train, test = (
        None if part is None else Part({name: part.inputs[name] for name in chosen}, part.targets)
        for part in (layout.train, layout.test)
    )
    return layout if train is None else Layout(train, test)


def _to_torch(layout: Layout, byte_scale: float, options: DatasetOptions) -> Dataset:
    if layout.test is not None:
        train, test = layout.train, layout.test
    else:
        fraction = DEFAULT_TEST_FRACTION if options.test_fraction is None else options.test_fraction
        train, test = _split(layout.train, fraction, options.seed or 0)
    kind = layout.kind
    return Dataset(train, test, layout.classes, kind, lambda part: _part(part, byte_scale, kind, options))


def _split(part: Part, test_fraction: float, seed: int) -> tuple[Part, Part]:
    samples = len(part)
    order = torch.randperm(samples, generator=rng.generator(seed, rng.Purpose.SPLIT)).numpy()
    cut = samples - split_size(samples, test_fraction)
    train, test = (
        Part({name: array[index] for name, array in part.inputs.items()}, part.targets[index])
        for index in (order[:cut], order[cut:])
    )
    return train, test


def _part(part: Part, byte_scale: float, kind: TargetKind, options: DatasetOptions) -> Split:
    inputs = {name: _input(array, byte_scale) for name, array in options.arranged(part).inputs.items()}
    x = inputs["x"]
    channels = (1, -1, *(1 for _ in range(x.dim() - 2)))
    if options.mean is not None:
        x = x - torch.tensor(options.mean).reshape(channels if x.dim() > 1 else (1,))
    if options.std is not None:
        x = x / torch.tensor(options.std).reshape(channels if x.dim() > 1 else (1,))
    target_type = np.float32 if kind is TargetKind.REAL else np.int64
    targets = torch.from_numpy(np.ascontiguousarray(part.targets, dtype=target_type).copy())
    return Split(tuple({**inputs, "x": x}.values()), targets)


def _input(array: np.ndarray, byte_scale: float) -> Tensor:
    if array.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) * byte_scale
    kind = np.int64 if array.dtype.kind in "iu" else np.float32
    return torch.from_numpy(np.ascontiguousarray(array, dtype=kind).copy())
