"""What is in a dataset file: the report that the API shows. NumPy only, no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from simulator.data.layout import Layout, TargetKind, arrange
from simulator.data.options import DEFAULT_TEST_FRACTION, DatasetOptions
from simulator.data.reading import read
from simulator.data.samples import samples_of

_MANY_TIMES = 1.5  # the share that a class has where all have the same


def inspect(path: Path, file_format: str, options: DatasetOptions | None = None) -> dict[str, Any]:
    """Return the report of a file.

    Args:
        path: the file.
        file_format: one of `simulator.data.reading.FORMATS`.
        options: how the file becomes a dataset.

    Raises:
        DatasetRejectedError: the file cannot be used; every fault is listed.
    """
    contents = read(path, file_format)
    layout, chosen = arrange(contents.arrays), options or DatasetOptions()
    found = report(layout, chosen) | {"samples": samples_of(layout, chosen)}
    found["warnings"] += contents.doubts
    names = None if contents.class_names is None else list(contents.class_names)
    return found | {"class_names": names, "sha256": _sha256(path)}


def report(layout: Layout, options: DatasetOptions) -> dict[str, Any]:
    """Return the report of a checked dataset."""
    options.check(layout)
    warnings = []
    fraction = DEFAULT_TEST_FRACTION if options.test_fraction is None else options.test_fraction
    if layout.test is None and options.test_fraction is None:
        warnings.append(f"no test set: {fraction:g} of the samples are set apart")
    test_size = layout.test_size(fraction)
    train_size = len(layout.train) - (test_size if layout.test is None else 0)
    if layout.classes == 1:
        warnings.append("all labels are 0: every network is right always")
    elif layout.kind is TargetKind.CLASS:
        warnings += _imbalance(layout)
    unused = layout.unused_classes() if layout.kind is TargetKind.CLASS else 0
    if unused:
        warnings.append(f"{unused} of the {layout.classes} classes are in no training sample")
    targets = layout.train.targets
    warnings += _doubts(layout.kind, targets)
    return {
        "inputs": [
            {"name": name, "dtype": str(array.dtype), "shape": list(array.shape[1:])}
            for name, array in options.arranged(layout.train).inputs.items()
        ],
        "targets": {
            "dtype": str(targets.dtype),
            "shape": list(targets.shape[1:]),
            "kind": layout.kind.value,
        },
        "classes": layout.classes,
        "train_size": train_size,
        "test_size": test_size,
        "warnings": warnings,
    }


def _imbalance(layout: Layout) -> list[str]:
    """Tell what a network that always gives the same answer reaches, where that is much."""
    counts = np.bincount((layout.test or layout.train).targets.astype(np.int64))
    likeliest, share = int(counts.argmax()), float(counts.max() / counts.sum())
    if share < max(0.5, _MANY_TIMES / (layout.classes or 1)):
        return []
    return [
        f"class {likeliest} has {share:.0%} of the samples: a network that always gives it is as accurate"
    ]


def _doubts(kind: TargetKind, targets: np.ndarray) -> list[str]:
    """Tell where targets may have been meant in another way than they are read."""
    if kind is TargetKind.ONE_HOT:
        told = (
            "every target is one-hot: classes are read from it, unless a job says multi_label or regression"
        )
        return [told]
    if kind is TargetKind.CLASS_OR_VALUE:
        stored = f"stored as {targets.dtype}" if targets.ndim == 1 else "in a column of their own"
        told = (
            f"the targets are whole numbers {stored}: classes where the network's output fits, else values; "
            "a job may say which by its task"
        )
        return [told]
    return []


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
