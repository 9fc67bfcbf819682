"""Arrays from tables, CSV and Parquet: a row is a sample.

The column `y` (or `label`, `target`, `class`) is the target, numbers or words. Columns of numbers are the
features, together the input `x` in the order of the columns; a column of lists of one length is an input of
its own, `x` or `x_<input name>`. A column `split` of `train` and `test` says which rows are for testing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from simulator.data.arrays import MAX_BYTES, check_finite
from simulator.data.errors import DatasetRejectedError, reject
from simulator.intake import Fault

TARGET_NAMES = ("y", "label", "target", "class")
SPLIT = "split"
MAX_COLUMNS = 10_000
MAX_CLASS_NAMES = 1000
_NUMBER_BYTES = 8
# Arrays, names of classes, and what was probably not meant.
Table = tuple[dict[str, np.ndarray], tuple[str, ...] | None, tuple[str, ...]]
_OF_AN_INDEX = ("", "Unnamed: 0", "__index_level_0__")  # as pandas calls the column of one
_NAMED = 20  # columns, in a message
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_HINT = "name the target's column y and leave columns of numbers beside it"


def read_csv(path: Path, *, max_bytes: int = MAX_BYTES) -> Table:
    """Return the arrays of a CSV file with a header, names of classes where labels are words, and doubts.

    Raises:
        DatasetRejectedError: it is not such a file, or has columns that are neither features nor target.
    """
    import pyarrow as pa
    from pyarrow import csv

    with path.open("rb") as file:
        start = file.read(4096)
    if b"\0" in start:
        raise reject("not_csv", "the file is not text", "send CSV as UTF-8 with a header line")
    # A number takes two bytes at least, its comma included, and becomes eight.
    limit = max_bytes // 4
    if path.stat().st_size > limit:
        raise reject("too_large", f"the file is {path.stat().st_size} bytes, more than {limit} for CSV")
    try:
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(use_threads=False, block_size=1 << 24),
            convert_options=csv.ConvertOptions(strings_can_be_null=True),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        message = f"this is not a CSV file with a header: {str(error)[:300]}"
        raise reject("not_csv", message, _separator_hint(start) or _EQUAL_LINES) from error
    return _arrays(table)


_EQUAL_LINES = "every line needs the same number of values"


def _separator_hint(start: bytes) -> str | None:
    """Return what to do about a header that something else than commas divides."""
    header = start.partition(b"\n")[0]
    for separator, word in _SEPARATORS.items():
        if separator.encode() in header and b"," not in header:
            return f"the columns seem to be separated by {word}: separate them by commas"
    return None


def read_parquet(path: Path, *, max_bytes: int = MAX_BYTES) -> Table:
    """Return the arrays of a Parquet file, names of classes where labels are words, and doubts.

    Raises:
        DatasetRejectedError: it is not such a file, is too large, or has columns of other kinds.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            metadata = file.metadata
            values = sum(
                metadata.row_group(group).column(column).num_values
                for group in range(metadata.num_row_groups)
                for column in range(metadata.num_columns)
            )
            # Encodings may pack a column of equal numbers into nothing: what counts is what it becomes.
            if values * _NUMBER_BYTES > max_bytes:
                raise reject("too_large", f"the table has {values} values, more than {max_bytes // 8}")
            table = file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DatasetRejectedError):
            raise
        raise reject("not_parquet", f"this is not a whole Parquet file: {str(error)[:300]}") from error
    return _arrays(table)


def _arrays(table: Any) -> Table:
    target_name = _target_name(list(table.column_names))
    if table.num_rows == 0:
        raise reject("empty_dataset", "the table has no rows")
    faults: list[Fault] = []
    target, class_names = _target(table.column(target_name), target_name, faults)
    inputs = _inputs(table, {target_name, SPLIT}, faults)
    test = _test_rows(table.column(SPLIT), faults) if SPLIT in table.column_names else None
    if faults:
        known = {name: array for name, array in (*inputs.items(), ("y", target)) if array.dtype.kind == "f"}
        raise DatasetRejectedError(faults + check_finite(known))
    arrays = {"x": inputs.pop("x"), **inputs, "y": target}
    doubts = tuple(_doubts(table.column_names))
    if test is None:
        return arrays, class_names, doubts
    parts = (("train", ~test), ("test", test))
    divided = {f"{key}_{part}": array[rows] for part, rows in parts for key, array in arrays.items()}
    return divided, class_names, doubts


def _doubts(names: list[str]) -> Iterator[str]:
    """Yield a doubt where a column seems to number the rows."""
    for name in names:
        if name in _OF_AN_INDEX:
            yield (
                f"the column {name!r} is one of the features, and seems to be the index of a data frame: "
                "write the file with index=False, or remove the column"
            )


def _target_name(names: list[str]) -> str:
    if len(names) > MAX_COLUMNS:
        raise reject("too_large", f"the table has {len(names)} columns, more than {MAX_COLUMNS}")
    if len(set(names)) < len(names):
        raise reject("bad_columns", "two columns have the same name", "give each column a name of its own")
    targets = [name for name in TARGET_NAMES if name in names]
    if len(targets) != 1:
        if targets:
            raise reject("missing_array", f"the columns {', '.join(targets)} could all be the target", _HINT)
        told = ", ".join(repr(name[:100]) for name in names[:_NAMED]) + (
            ", ..." if len(names) > _NAMED else ""
        )
        raise reject("missing_array", f"no column is the target; the columns are {told}", _target_hint(names))
    return targets[0]


def _target_hint(names: list[str]) -> str:
    """Return what to do about columns of which none is called as a target is."""
    meant = [name for name in names if name.strip().casefold() in TARGET_NAMES]
    if meant:
        return f"did you mean {meant[0]!r}? Call it {meant[0].strip().casefold()!r}"
    if len(names) == 1 and (hint := _separator_hint(names[0].encode())) is not None:
        return hint
    if names and all(_is_number(name) for name in names):
        return f"the file seems to have no header: give it a first line that names the columns; {_HINT}"
    return _HINT


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _inputs(table: Any, others: set[str], faults: list[Fault]) -> dict[str, np.ndarray]:
    """Return the inputs; the faults of their columns are added to the list."""
    inputs: dict[str, np.ndarray] = {}
    features: list[np.ndarray] = []
    for name in table.column_names:
        if name in others:
            continue
        column = table.column(name)
        if not _is_list(column.type):
            features.append(_numbers(column, name, faults))
            continue
        if name != "x" and not name.startswith("x_"):
            message = f"the column {name[:100]!r} has lists and is no input"
            faults.append(Fault("unknown_array", message, "call it x, or x_<input name>"))
        inputs[name] = _lists(column, name, faults)
    if features and "x" in inputs:
        message = f"there is a column x of lists, and {len(features)} columns of features"
        faults.append(Fault("bad_columns", message, "leave one of them out"))
    elif features:
        inputs["x"] = _stack(features)
    elif "x" not in inputs:
        faults.append(Fault("missing_array", "there are no features", _HINT))
    return inputs


def _stack(features: list[np.ndarray]) -> np.ndarray:
    """Return `[samples, features]` as float32: whole numbers too are features here, not token ids."""
    with np.errstate(over="ignore"):  # what float32 cannot hold is found as infinite, and named
        return np.stack([feature.astype(np.float32) for feature in features], axis=1)


def _numbers(column: Any, name: str, faults: list[Fault]) -> np.ndarray:
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        # pyarrow calls what is no UTF-8 binary.
        is_text = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        what = "text that is not UTF-8" if is_text else f"values of type {kind}"
        hint = "save the file as UTF-8" if is_text else "encode it as numbers, or leave it out"
        faults.append(Fault("bad_dtype", f"the column {name[:100]!r} has {what}, not numbers", hint))
        return np.zeros(len(column), np.float32)
    if column.null_count:
        message = f"the column {name[:100]!r} has {column.null_count} missing values"
        faults.append(Fault("non_finite_values", message, "remove or replace them"))
        return np.zeros(len(column), np.float32)
    return np.asarray(column.to_numpy())


def _target(column: Any, name: str, faults: list[Fault]) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return the targets; words become the numbers of classes, in alphabetical order."""
    import pyarrow as pa

    if _is_list(column.type):
        return _lists(column, name, faults), None
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return _numbers(column, name, faults), None
    if column.null_count:
        message = f"the column {name!r} has {column.null_count} missing labels"
        faults.append(Fault("bad_labels", message, "remove these rows, or label them"))
        return np.zeros(len(column), np.int64), None
    words = np.asarray(column.to_pylist(), dtype=object).astype(str)
    names, labels = np.unique(words, return_inverse=True)
    if len(names) > MAX_CLASS_NAMES:
        message = f"the column {name!r} has {len(names)} different words, more than {MAX_CLASS_NAMES}"
        faults.append(Fault("bad_labels", message, "give numbers"))
    return labels.astype(np.int64), tuple(str(one)[:200] for one in names)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _lists(column: Any, name: str, faults: list[Fault]) -> np.ndarray:
    """Return `[samples, ...]` of lists (of lists) that all have the same lengths."""
    import pyarrow as pa

    shape = [len(column)]
    values = column.combine_chunks()
    while _is_list(values.type):
        if values.null_count:
            faults.append(Fault("non_finite_values", f"the column {name[:100]!r} has missing lists"))
            return np.zeros((len(column), 1), np.float32)
        lengths = np.unique(values.value_lengths().to_numpy(zero_copy_only=False))
        if len(lengths) > 1:
            told = f"{lengths.min()} to {lengths.max()}"
            message = f"the lists of column {name[:100]!r} have different lengths, {told}"
            faults.append(Fault("feature_shape_mismatch", message, "pad them to one length"))
            return np.zeros((len(column), 1), np.float32)
        shape.append(int(lengths[0]) if len(lengths) else 0)
        values = values.flatten()
    numbers = _numbers(pa.chunked_array([values]), name, faults)
    return numbers.reshape(shape) if numbers.size == np.prod(shape) else np.zeros(shape, np.float32)


def _test_rows(column: Any, faults: list[Fault]) -> np.ndarray:
    words = [str(word) for word in column.to_pylist()]
    others = sorted(set(words) - {"train", "test"})
    if others:
        message = f"the column {SPLIT!r} has {others[0][:50]!r}; it says train or test of every row"
        faults.append(Fault("bad_columns", message))
    return np.array([word == "test" for word in words], dtype=bool)
