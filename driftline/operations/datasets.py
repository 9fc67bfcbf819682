"""Datasets: upload files or arrays, list, read, delete."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from driftline.core.steps import Flow, Request, call, call_json, get, work
from driftline.errors import InvalidInput
from driftline.operations.lists import listed
from driftline.operations.naming import Named, path_of

MEDIA_TYPES = {
    ".npz": "application/x-npz",
    ".safetensors": "application/vnd.safetensors",
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
}


def upload_dataset(
    data: Any,
    *,
    name: str | None = None,
    test_fraction: float | None = None,
    seed: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    layout: str | None = None,
) -> Flow[Any]:
    """Upload a dataset and return it; the same data again give the same id.

    Args:
        data: the path of an `.npz`, `.safetensors`, `.parquet` or `.csv` file; arrays or tensors as
            `(x, y)` or `(x_train, y_train, x_test, y_test)`, the samples along the first axis; or a mapping
            of the service's own names (`x_train`, `x_mask_train`, ...) to arrays.
        name: what to call it; the file's name by default.
        test_fraction: share of `x, y` that is set apart for testing; 0.2 by default.
        seed: of that split.
        mean: subtracted from the input `x`, bytes being 0 to 1: a number, or one per channel.
        std: what `x` is divided by then.
        layout: `nhwc` for images whose channels come last.

    Raises:
        InvalidInput: there is no such file, or the arrays do not fit together.
        InvalidRequest: the service finds faults in the data; all of them are told.
    """
    content, media_type, own_name = yield from work(lambda: _content(data))
    params = {
        "name": name or own_name,
        "test_fraction": test_fraction,
        "seed": seed,
        "mean": _joined(mean),
        "std": _joined(std),
        "layout": layout,
    }
    request = Request("POST", "/v1/datasets", params, {"Content-Type": media_type}, content, repeatable=True)
    return (yield from call_json(request))


def datasets(*, limit: int | None = 50) -> Flow[list[Any]]:
    """Return the datasets, uploaded ones first, newest first; all of them with `limit=None`."""
    return (yield from listed("/v1/datasets", limit))


def dataset(dataset: Named) -> Flow[Any]:
    """Return a dataset by its id, such as `builtin:mnist10k`."""
    return (yield from call_json(get(path_of("datasets", dataset))))


def delete_dataset(dataset: Named) -> Flow[None]:
    """Delete an uploaded dataset that no job is on."""
    yield from call(Request("DELETE", path_of("datasets", dataset)))


def _content(data: Any) -> tuple[bytes | Path, str, str | None]:
    """Return what is sent for a dataset, its media type, and its own name."""
    if not isinstance(data, str | Path):
        from driftline import arrays

        return arrays.to_npz(data), MEDIA_TYPES[".npz"], None
    path = Path(data)
    if not path.is_file():
        raise InvalidInput(
            f"there is no file {str(path)!r} to upload as a dataset; a built-in one is named builtin:mnist10k"
        )
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        known = ", ".join(MEDIA_TYPES)
        raise InvalidInput(f"{path.name} ends in {path.suffix or 'nothing'}: the service takes {known}")
    return path, media_type, path.stem


def _joined(numbers: float | Sequence[float] | None) -> str | None:
    if numbers is None:
        return None
    if hasattr(numbers, "tolist"):
        numbers = numbers.tolist()
    if isinstance(numbers, Sequence):
        return ",".join(_written(one) for one in numbers)
    return _written(numbers)


def _written(number: float) -> str:
    return f"{float(number):.12g}"
