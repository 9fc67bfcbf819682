"""What is in a dataset file: the report that the API shows. NumPy only, no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from simulator.data.arrays import read_npz
from simulator.data.errors import reject
from simulator.data.layout import Layout, arrange

DEFAULT_TEST_FRACTION = 0.2
FORMATS = ("npz",)


def inspect(path: Path, file_format: str, test_fraction: float | None = None) -> dict[str, Any]:
    """Return the report of a file.

    Args:
        path: the file.
        file_format: one of `FORMATS`.
        test_fraction: share of the samples that are for testing, for a file that is not split.

    Raises:
        DatasetRejectedError: the file cannot be used; every fault is listed.
    """
    if file_format not in FORMATS:
        raise reject("unsupported_format", f"datasets come as {', '.join(FORMATS)}, not {file_format[:20]!r}")
    return report(arrange(read_npz(path)), test_fraction) | {"sha256": _sha256(path)}


def report(layout: Layout, test_fraction: float | None = None) -> dict[str, Any]:
    """Return the report of a checked dataset."""
    warnings = []
    if test_fraction is not None and not 0 < test_fraction < 1:
        message = f"test_fraction is {test_fraction:g}; it has to be more than 0 and less than 1"
        raise reject("bad_test_fraction", message)
    fraction = DEFAULT_TEST_FRACTION if test_fraction is None else test_fraction
    if layout.test is not None and test_fraction is not None:
        raise reject(
            "test_fraction_ignored",
            "the file has a test set of its own",
            "leave out test_fraction, or give x and y alone",
        )
    if layout.test is None and test_fraction is None:
        warnings.append(f"no test set: {fraction:g} of the samples are set apart")
    test_size = layout.test_size(fraction)
    train_size = len(layout.train) - (test_size if layout.test is None else 0)
    if layout.classes == 1:
        warnings.append("all labels are 0: every network is right always")
    unused = layout.unused_classes()
    if unused:
        warnings.append(f"{unused} of the {layout.classes} classes are in no training sample")
    targets = layout.train.targets
    if targets.dtype.kind in "iu" and targets.shape[1:] == (1,):
        warnings.append(
            "the targets are whole numbers of shape [1] and read as real values; for classes, flatten them"
        )
    return {
        "inputs": [
            {"name": name, "dtype": str(array.dtype), "shape": list(array.shape[1:])}
            for name, array in layout.train.inputs.items()
        ],
        "targets": {
            "dtype": str(targets.dtype),
            "shape": list(targets.shape[1:]),
            "kind": "class" if layout.is_classification else "real",
        },
        "classes": layout.classes,
        "train_size": train_size,
        "test_size": test_size,
        "warnings": warnings,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
