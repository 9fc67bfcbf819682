"""Datasets as torch tensors, resident in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from simulator import rng
from simulator.data.arrays import read_npz
from simulator.data.catalogue import BUILTINS
from simulator.data.inspection import DEFAULT_TEST_FRACTION
from simulator.data.layout import Layout, Part, arrange, split_size

_BYTE_SCALE = 1 / 255


@dataclass(frozen=True)
class Split:
    """The training or the test set.

    Attributes:
        inputs: tensors `[samples, ...]`: float32, or int64 where the file has integers other than bytes.
        targets: class indices `[samples]` (int64), or values `[samples, ...]` (float32).
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor


@dataclass(frozen=True)
class Dataset:
    """A dataset; `classes` is None for regression."""

    train: Split
    test: Split
    classes: int | None


def load_dataset(
    ref: str, path: Path | None = None, *, test_fraction: float | None = None, seed: int | None = None
) -> Dataset:
    """Return a dataset.

    Bytes (`uint8`) become numbers from 0 to 1; other integers stay integers, as token ids.

    Args:
        ref: a built-in dataset such as `builtin:mnist10k`, or any name with `path`.
        path: an `.npz` file.
        test_fraction: share of the samples for testing, where the file has no test set.
        seed: of that split.

    Raises:
        LookupError: there is no such built-in dataset.
        DatasetRejectedError: the file cannot be used.
    """
    if path is not None:
        layout = arrange(read_npz(path))
        return _to_torch(layout, _BYTE_SCALE, test_fraction or DEFAULT_TEST_FRACTION, seed or 0)
    builtin = BUILTINS.get(ref)
    if builtin is None:
        raise LookupError(f"there is no dataset {ref!r}; built in: {', '.join(sorted(BUILTINS))}")
    return _to_torch(arrange(read_npz(builtin.path)), builtin.scale, DEFAULT_TEST_FRACTION, 0)


def _to_torch(layout: Layout, byte_scale: float, test_fraction: float, seed: int) -> Dataset:
    classes = layout.classes
    if layout.test is not None:
        train, test = layout.train, layout.test
    else:
        train, test = _split(layout.train, test_fraction, seed)
    is_class = layout.is_classification
    return Dataset(_part(train, byte_scale, is_class), _part(test, byte_scale, is_class), classes)


def _split(part: Part, test_fraction: float, seed: int) -> tuple[Part, Part]:
    samples = len(part)
    order = torch.randperm(samples, generator=rng.generator(seed, rng.Purpose.SPLIT)).numpy()
    cut = samples - split_size(samples, test_fraction)
    train, test = (
        Part({name: array[index] for name, array in part.inputs.items()}, part.targets[index])
        for index in (order[:cut], order[cut:])
    )
    return train, test


def _part(part: Part, byte_scale: float, is_class: bool) -> Split:
    inputs = tuple(_input(array, byte_scale) for array in part.inputs.values())
    kind = np.int64 if is_class else np.float32
    return Split(inputs, torch.from_numpy(np.ascontiguousarray(part.targets, dtype=kind).copy()))


def _input(array: np.ndarray, byte_scale: float) -> Tensor:
    if array.dtype == np.uint8:
        return torch.from_numpy(array.astype(np.float32)) * byte_scale
    kind = np.int64 if array.dtype.kind in "iu" else np.float32
    return torch.from_numpy(np.ascontiguousarray(array, dtype=kind).copy())
