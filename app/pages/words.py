"""Numbers, times and states as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from driftline.times import DAY_S, HOUR_S, MINUTE_S, TICKS, in_short
from simulator.config.tasks import Metric

_NAMED: Final = dict(TICKS)
_ROUGHLY: Final = ((DAY_S, "day", "days"), (HOUR_S, "h", "h"), (MINUTE_S, "min", "min"))
_PREFIXES: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def duration(seconds: float) -> str:
    """Return a time after programming in the largest unit that it fills: `1 s`, `1.5 days`, `1 month`."""
    return _NAMED.get(seconds) or in_short(seconds)


def about(seconds: float) -> str:
    """Return how long something takes, roughly: `about 40 s`."""
    for size, one, many in _ROUGHLY:
        if seconds >= 1.5 * size:
            number = round(seconds / size)
            return f"about {number} {one if number == 1 else many}"
    return f"about {max(1, math.ceil(seconds))} s"


def exact(seconds: float) -> str:
    """Return a time in seconds, as the API has it."""
    return f"{seconds:,.15g} s"


def metric(value: float | None, name: str) -> str:
    """Return a metric's value: an accuracy as a percentage, others with four digits."""
    if value is None:
        return "not finite"
    return f"{100 * value:z.1f} %" if name == "accuracy" else f"{value:z.4g}"


def interval(bounds: Sequence[float] | None, name: str) -> str:
    """Return the bounds of an interval, nothing where there is none."""
    if bounds is None:
        return ""
    low, high = bounds
    if name == "accuracy":
        return f"{100 * low:z.1f} to {100 * high:z.1f}"
    return f"{low:z.4g} to {high:z.4g}"


def mean_interval(bounds: Sequence[float] | None, name: str) -> str:
    """Return the bounds of an interval of a mean, within what the metric can be."""
    return interval(None if bounds is None else Metric(name).within_limits(bounds), name)


def width(half: float, name: str) -> str:
    """Return half an interval's width, of an accuracy in points."""
    return f"{100 * half:.2g} points" if name == "accuracy" else f"{half:.3g}"


def difference(value: float | None, name: str) -> str:
    """Return the difference of two values of a metric, with its sign."""
    if value is None:
        return "not finite"
    return f"{100 * value:+z.2f} points" if name == "accuracy" else f"{value:+z.4g}"


def count(number: float) -> str:
    """Return a whole number with its thousands apart."""
    return f"{number:,.0f}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """Return a number of things."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(number: float) -> str:
    """Return a number of bytes."""
    for unit, name in _PREFIXES:
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number:.0f} B"


def shape(sizes: Sequence[Any] | None) -> str:
    """Return a tensor's shape; a size that is open is a name or a question mark."""
    if sizes is None:
        return "any shape"
    return " × ".join("?" if one is None else str(one) for one in sizes) or "one number"


def moment(when: datetime) -> str:
    """Return a moment in UTC."""
    return when.astimezone(UTC).strftime("%-d %b %Y, %H:%M UTC")


def value(thing: Any) -> str:
    """Return a value of a configuration as JSON has it, without quotes around plain words."""
    if isinstance(thing, str):
        return thing
    if thing is None:
        return "none"
    if isinstance(thing, bool):
        return "yes" if thing else "no"
    if isinstance(thing, float):
        return f"{thing:.6g}"
    if isinstance(thing, list | tuple):
        return "[" + ", ".join(value(one) for one in thing) + "]"
    if isinstance(thing, dict):
        return "{" + ", ".join(f"{key}: {value(one)}" for key, one in thing.items()) + "}"
    return str(thing)


def field(json_pointer: str) -> str:
    """Return a JSON pointer as people write a field: `/forward/out_noise` as `forward.out_noise`."""
    parts = json_pointer.removeprefix("/").split("/")
    return ".".join(part.replace("~1", "/").replace("~0", "~") for part in parts)


VARIANT_MEANINGS: Final = {
    "digital": "The model as uploaded, in floating point.",
    "direct": "The model programmed as it is.",
    "hwa": "The model after hardware-aware fine-tuning, programmed.",
    "control": "The model after as much fine-tuning without analog noise, programmed.",
}
PHASES: Final = {
    "verify": "comparing the import with a reference",
    "calibrate": "calibrating input ranges",
    "finetune": "fine-tuning",
    "baseline": "evaluating in floating point",
    "evaluate": "evaluating chips",
    "describe": "describing the tiles",
    "analyse": "analysing",
}
WAITS: Final = {
    "no_worker": "No worker has reported lately. Start one, and the job begins by itself.",
    "no_worker_is_able": "No worker has the device or the loops that the job needs.",
    "workers_take_no_work": "The workers take no work at present; the page of workers says why.",
    "workers_are_busy": "All workers have other work items.",
}
# What to do about a failure, by its code; its message says what happened.
ADVICE: Final = {
    "import_mismatch": "The imported network does not compute what the file computes. Check the export, for"
    " example with onnxruntime, and upload the model again.",
    "dataset_mismatch": "The model's inputs or outputs do not fit the dataset. Choose another of either.",
    "index_out_of_range": "The dataset and the model have other vocabularies. Upload the one that fits.",
    "non_finite_loss": "Training diverged. Clone the job and lower the learning rate, or limit the gradient.",
    "batch_too_small": "Clone the job with a larger batch size of the fine-tuning, or with more samples.",
    "out_of_memory": "Clone the job with a smaller batch size, or give the worker more memory.",
    "timeout": "Clone the job with fewer samples, times or chips, or raise the service's time limit.",
    "stalled": "The work stood still. Retry; what was computed is taken over.",
    "worker_lost": "The worker went away. Retry; what was computed is taken over.",
    "storage_full": "Make room in the service's storage, then retry; what was computed is taken over.",
    "database_away": "The database was away. Retry; what was computed is taken over.",
    "blob_missing": "A stored file is missing. Upload the model or dataset again, then retry.",
    "internal": "The fault is the service's. Its log has more; please report it.",
}
