"""Which array of a file is what: inputs and targets, training and test. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from simulator.data.arrays import check_finite
from simulator.data.errors import DatasetRejectedError
from simulator.intake import Fault

MAX_CLASSES = 1_000_000
_MOST_FLOAT_CLASSES = 1000  # larger whole numbers stored as floats are values
IGNORED_CLASS = -100  # of a position that does not count, as torch has it


class TargetKind(StrEnum):
    """What the targets are.

    CLASS: a class per sample. CLASS_OR_VALUE: one whole number a sample that may be either, since it is
    stored as a float or in a column of its own. ONE_HOT: zeros and a single one along the last axis.
    POSITIONS: a class per position of a sample, such as a token or a pixel. LABELS: zeros and ones, several
    a sample. REAL: numbers.
    """

    CLASS = "class"
    CLASS_OR_VALUE = "class_or_value"
    ONE_HOT = "one_hot"
    POSITIONS = "class_per_position"
    LABELS = "labels"
    REAL = "real"


_NAMED = 20  # arrays, in a message
_HINT = "give x_train, y_train, x_test and y_test, or x and y with test_fraction"


@dataclass(frozen=True)
class Part:
    """The training or the test set: inputs by name (the first is `x`), and targets."""

    inputs: dict[str, np.ndarray]
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Layout:
    """A checked dataset.

    Attributes:
        train: the training set; all samples when the file is not split.
        test: the test set; None when the file is not split.
    """

    train: Part
    test: Part | None

    @cached_property
    def kind(self) -> TargetKind:
        """What the targets are."""
        parts = [self.train] if self.test is None else [self.train, self.test]
        return _kind_of([part.targets for part in parts])

    @property
    def classes(self) -> int | None:
        """Number of classes; None when the targets are not class indices."""
        if self.kind in (TargetKind.LABELS, TargetKind.REAL):
            return None
        if self.kind is TargetKind.ONE_HOT:
            return int(self.train.targets.shape[-1])
        parts = [self.train] if self.test is None else [self.train, self.test]
        return max(int(part.targets.max()) for part in parts) + 1

    def unused_classes(self) -> int:
        """Return how many classes below the largest one no training sample has."""
        labels = self.train.targets
        return 0 if self.classes is None else self.classes - len(np.unique(labels[labels >= 0]))

    def test_size(self, test_fraction: float) -> int:
        """Return how many samples the test set has, or will have when it is split off."""
        return split_size(len(self.train), test_fraction) if self.test is None else len(self.test)


def _kind_of(targets: list[np.ndarray]) -> TargetKind:
    first = targets[0]
    if any(not one.size for one in targets):
        return TargetKind.REAL
    if all(_is_one_hot(one) for one in targets):
        return TargetKind.ONE_HOT
    low, high = min(float(one.min()) for one in targets), max(float(one.max()) for one in targets)
    integers = first.dtype.kind in "iub"
    if first.ndim == 1 and integers:
        return TargetKind.CLASS
    whole = integers or (
        first.dtype.kind == "f" and all(bool((one == np.round(one)).all()) for one in targets)
    )
    whole = whole and (integers or high >= 1)  # floats that are zero everywhere say nothing
    if first.ndim == 1 or first.shape[1:] == (1,):
        either = whole and low >= 0 and high < (MAX_CLASSES if integers else _MOST_FLOAT_CLASSES)
        return TargetKind.CLASS_OR_VALUE if either else TargetKind.REAL
    if whole and low >= 0 and high <= 1:
        return TargetKind.LABELS
    positions = integers and all(bool(((one >= 0) | (one == IGNORED_CLASS)).all()) for one in targets)
    return TargetKind.POSITIONS if positions and 0 <= high < MAX_CLASSES else TargetKind.REAL


def _is_one_hot(targets: np.ndarray) -> bool:
    """Whether each row along the last of several axes is zeros and a single one."""
    if targets.ndim < 2 or targets.shape[-1] < 2 or not targets.size:
        return False
    if len(targets) > 1 and not _is_one_hot(targets[:1]):  # most sets need no second look
        return False
    ones = targets == 1
    return bool((ones | (targets == 0)).all() and (ones.sum(axis=-1) == 1).all())


def split_size(samples: int, test_fraction: float) -> int:
    """Return how many of the samples go to the test set: at least one, and not all."""
    return min(max(1, round(samples * test_fraction)), samples - 1)


def arrange(arrays: dict[str, np.ndarray]) -> Layout:
    """Return the arrays as inputs and targets.

    Raises:
        DatasetRejectedError: arrays are missing, empty, of unequal length or shape, not finite, or the labels
            are not classes; every fault is listed.
    """
    faults = check_finite(arrays)
    split = any(name.casefold().endswith(("_train", "_test")) for name in arrays)
    suffixes = ("_train", "_test") if split else ("",)
    parts = []
    used: set[str] = set()
    for suffix in suffixes:
        names = {"x": f"x{suffix}", "y": f"y{suffix}"}
        extra = {
            name.removeprefix("x_").removesuffix(suffix): name
            for name in arrays
            if name.startswith("x_") and name.endswith(suffix) and name not in names.values()
        }
        missing = [name for name in names.values() if name not in arrays]
        faults += [_missing(name, arrays) for name in missing]
        if "x" in extra:
            message = f"{extra['x']!r} would be an input named x, which {names['x']!r} is"
            hint = f"{names['x']!r} is the input that no other array names; call each other one x_<its name>"
            faults.append(Fault("bad_columns", f"{message} already", hint))
            used.add(extra.pop("x"))
        used |= {*names.values(), *extra.values()}
        if not missing:
            inputs = {"x": arrays[names["x"]], **{key: arrays[name] for key, name in extra.items()}}
            part = Part(inputs, arrays[names["y"]])
            faults += _check_part(part, suffix)
            parts.append(part)
    faults += [
        Fault("unknown_array", f"the array {name[:100]!r} is neither an input nor a target", _HINT)
        for name in sorted(arrays.keys() - used)
    ]
    if len(parts) == 2:
        faults += _check_pair(parts[0], parts[1])
    if faults:
        raise DatasetRejectedError(faults)
    if not split:
        return Layout(parts[0], None)
    train, test = parts
    # A file may have the inputs of its test set in another order: names say which is which.
    return Layout(train, Part({name: test.inputs[name] for name in train.inputs}, test.targets))


def _missing(name: str, arrays: dict[str, np.ndarray]) -> Fault:
    meant = [other for other in sorted(arrays) if other.casefold() == name]
    found = ", ".join(sorted(other[:100] for other in arrays)[:_NAMED])
    hint = f"call {meant[0]!r} {name!r}" if meant else _HINT
    return Fault("missing_array", f"there is no array {name!r}; there are: {found or 'none'}", hint)


def _check_part(part: Part, suffix: str) -> list[Fault]:
    faults = []
    named = {f"{name}{suffix}" if name == "x" else f"x_{name}{suffix}": a for name, a in part.inputs.items()}
    named[f"y{suffix}"] = part.targets
    scalars = [name for name, array in named.items() if array.ndim == 0]
    faults += [Fault("length_mismatch", f"{name!r} is a scalar, not one value a sample") for name in scalars]
    if scalars:
        return faults
    lengths = {name: len(array) for name, array in named.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        faults.append(Fault("length_mismatch", f"the arrays have unequal numbers of samples: {told}"))
    hollow = [name for name, array in named.items() if array.size == 0 and len(array) > 0]
    faults += [Fault("empty_dataset", f"a sample of {name!r} has no numbers") for name in hollow]
    smallest = 2 if not suffix else 1
    if min(lengths.values()) < smallest:
        faults.append(
            Fault("empty_dataset", f"there are fewer than {smallest} samples in {', '.join(named)}")
        )
    elif part.targets.dtype.kind in "iu" and part.targets.ndim == 1:
        low, high = int(part.targets.min()), int(part.targets.max())
        if low < 0 or high >= MAX_CLASSES:
            message = f"the labels y{suffix} go from {low} to {high}; classes are 0 to {MAX_CLASSES - 1}"
            hint = "number the classes 0, 1, 2, ...; for regression store the targets as float32"
            faults.append(Fault("bad_labels", message, hint))
    return faults


def _check_pair(train: Part, test: Part) -> list[Fault]:
    faults = []
    if train.inputs.keys() != test.inputs.keys():
        message = f"training has the inputs {sorted(train.inputs)}, test {sorted(test.inputs)}"
        faults.append(Fault("missing_array", message, _HINT))
    pairs = [
        (f"x of {name!r}", train.inputs[name], test.inputs[name])
        for name in train.inputs
        if name in test.inputs
    ]
    pairs.append(("y", train.targets, test.targets))
    for name, one, other in pairs:
        if one.shape[1:] != other.shape[1:]:
            message = f"{name} is {one.shape[1:]} a sample in training and {other.shape[1:]} in test"
            faults.append(Fault("feature_shape_mismatch", message))
        if one.dtype.kind != other.dtype.kind or (one.dtype == np.uint8) != (other.dtype == np.uint8):
            message = f"{name} is {one.dtype} in training and {other.dtype} in test"
            faults.append(Fault("bad_dtype", message))
    return faults
