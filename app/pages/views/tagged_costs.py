"""The page of a tag's jobs by cost and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.cost.schemas import BandView, TaggedCost, TaggedCosts
from app.pages import words
from app.pages.scatter import Point, scatter
from driftline.quantities import band


@dataclass(frozen=True)
class TaggedRow:
    """A job.

    Attributes:
        letter: that stands for it in the picture.
        item: as the API has it.
        energy: with its band.
        latency: with its band.
        area: with its band.
        overlaps: letters of the jobs with which it has no order by energy.
    """

    letter: str
    item: TaggedCost
    energy: str
    latency: str
    area: str
    overlaps: str


@dataclass(frozen=True)
class TaggedPage:
    """What the page shows.

    Attributes:
        tag: of the jobs.
        metric: that they are judged by.
        left_out: jobs of the tag that are not shown.
        rows: the jobs, newest first.
        drawing: accuracy against energy; None without jobs.
    """

    tag: str
    metric: str
    left_out: int
    rows: Sequence[TaggedRow]
    drawing: Markup | None


def tagged_page(found: TaggedCosts) -> TaggedPage:
    """Return the page of a tag's jobs."""
    metric = str(found.metric or "accuracy")
    letters = {item.job: _letter(number) for number, item in enumerate(found.items)}
    rows = [_row(item, letters) for item in found.items]
    drawing = None
    if found.items:
        drawing = scatter(
            [_point(item, letters[item.job], metric) for item in found.items],
            unit="J",
            x_label="energy of an inference",
            y_label=metric,
            y_words=lambda value: words.metric(value, metric),
        )
    return TaggedPage(found.tag, metric, found.left_out, rows, drawing)


def _row(item: TaggedCost, letters: dict[str, str]) -> TaggedRow:
    return TaggedRow(
        letter=letters[item.job],
        item=item,
        energy=band(item.energy_j.model_dump(), "J"),
        latency=band(item.latency_s.model_dump(), "s"),
        area="not priced" if item.area_mm2 is None else band(item.area_mm2.model_dump(), "mm²"),
        overlaps=", ".join(letters[job] for job in item.overlaps),
    )


def _point(item: TaggedCost, letter: str, metric: str) -> Point:
    low, high = item.ci95 or (item.mean, item.mean)
    if metric == "accuracy":  # Student's interval knows no limits, an accuracy does
        low, high = max(low, 0.0), min(high, 1.0)
    energy: BandView = item.energy_j
    said = f"{letter}: {item.name}, {words.metric(item.mean, metric)}, {band(energy.model_dump(), 'J')}"
    return Point(letter, said, (energy.low, energy.nominal, energy.high), (low, item.mean, high))


def _letter(number: int) -> str:
    return chr(ord("A") + number % 26) * (1 + number // 26)
