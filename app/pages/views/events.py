"""A job's events in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.db.tables import Event
from app.pages import words
from app.pages.words import plural, size

# Of these there are thousands, and the curve shows them.
TOO_MANY: Final = ("cell.finished", "analysis.row")


@dataclass(frozen=True)
class Told:
    """An event in words."""

    seq: int
    words: str
    created_at: datetime


def told(event: Event) -> Told:
    """Return an event in words."""
    say = _WORDS.get(event.type)
    return Told(event.seq, say(event.data) if say else event.type.replace(".", ": "), event.created_at)


def item_words(key: str) -> str:
    """Return what a work item does: `evaluate:hwa:5` as `evaluating chips of hwa from chip 5 on`."""
    kind, _, rest = key.partition(":")
    if kind == "analyse":
        name, _, rest = rest.partition(":")
        variant, _, part = rest.partition(":")
        return f"{name.replace('_', ' ')} of {variant}, part {int(part or 0) + 1}"
    variant, _, start = rest.partition(":")
    text = words.PHASES.get(kind, kind)
    if variant:
        text += f" of {variant}" if kind in ("evaluate", "describe") else f" ({variant})"
    return text + (f", from chip {start} on" if start else "")


def _epoch(data: Mapping[str, Any]) -> str:
    loss = data.get("train_loss")
    shown = "not finite" if loss is None else f"{loss:.4g}"
    return f"Epoch {data.get('epoch', 0) + 1} of {data.get('variant')} ended with a loss of {shown}."


def _requeued(data: Mapping[str, Any]) -> str:
    item, reason = data.get("item", ""), str(data.get("reason", "")).replace("_", " ")
    return f"Set back to the queue: {item_words(item)} ({reason}), attempt {data.get('attempt')}."


def _baseline(data: Mapping[str, Any]) -> str:
    correct, total = data.get("correct"), data.get("total")
    counted = "" if correct is None else f": {correct:,} of {total:,} right"
    return f"Evaluated {data.get('variant')} in floating point{counted}."


_WORDS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "job.queued": lambda _: "The job was queued.",
    "job.running": lambda _: "A worker took the first work item.",
    "job.cancelling": lambda _: "Somebody cancelled the job; its runners stop.",
    "job.cancelled": lambda _: "The job was cancelled.",
    "job.succeeded": lambda _: "The job succeeded.",
    "job.failed": lambda data: f"The job failed: {data.get('message', data.get('code', ''))}",
    "job.warning": lambda data: f"Warning: {data.get('message', '')}",
    "job.reused": lambda data: (
        f"Took over what {plural(len(data.get('jobs', [])), 'earlier job')} had computed."
    ),
    "job.round": lambda data: f"Planned {plural(len(data.get('items', [])), 'more work item')}.",
    "item.started": lambda data: f"Began: {item_words(data.get('item', ''))}.",
    "item.succeeded": lambda data: f"Done: {item_words(data.get('item', ''))}.",
    "item.requeued": _requeued,
    "epoch.finished": _epoch,
    "baseline.finished": _baseline,
    "artifact.created": lambda data: f"Wrote {data.get('name')} ({size(data.get('size_bytes', 0))}).",
}
