"""What else was asked of a job, as its page and report show it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from app.analyses.answers import ANSWERS
from app.analyses.service import AnalysisService
from app.db.tables import Job
from app.pages.words import difference, duration
from app.pages.words import metric as metric_words
from driftline.plots.budget import Step, waterfall

_WIDTH: Final = 720.0
_BEGIN: Final = 170.0  # of the bars; their names stand before
_END: Final = 590.0  # their costs stand behind
_ROW: Final = 24.0
_TICKS: Final = 5


@dataclass(frozen=True)
class Bar:
    """A bar of a waterfall, in the units of its drawing.

    Attributes:
        name: what it is.
        y: its upper end.
        x: its left end.
        width: its length.
        interval: both ends of its interval; None without.
        link: where the next one begins.
        look: its class.
        value: in words.
    """

    name: str
    y: float
    x: float
    width: float
    interval: tuple[float, float] | None
    link: float
    look: str
    value: str


@dataclass(frozen=True)
class Waterfall:
    """From digital to analog, of one variant at one time.

    Attributes:
        title: which.
        width: of the drawing.
        height: of the drawing.
        bars: from top to bottom.
        ticks: (place, words) of the axis.
    """

    title: str
    width: float
    height: float
    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Analysed:
    """An analysis.

    Attributes:
        type: such as `error_budget`.
        state: how far it is.
        share: of its cells that are there.
        answer: what it has found by now, as JSON has it.
        waterfalls: of an error budget.
    """

    type: str
    state: str
    share: float
    answer: Mapping[str, Any]
    waterfalls: Sequence[Waterfall]

    def layers(
        self, variant: str, t_inference_s: float
    ) -> Iterator[tuple[str, Mapping[str, Mapping[str, Any]]]]:
        """Yield each layer with its rows of a variant at a time, by mode."""
        found: dict[str, dict[str, Mapping[str, Any]]] = {}
        for row in self.groups(variant, t_inference_s):
            found.setdefault(row["layer"], {})[row["mode"]] = row
        yield from found.items()

    def groups(self, variant: str, t_inference_s: float) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a variant at a time."""
        for row in self.answer["rows"]:
            if (row["variant"], row["t_inference"]) == (variant, t_inference_s):
                yield row


def analysed(session: Session, job: Job) -> list[Analysed]:
    """Return the analyses of a job with what they have found by now."""
    service = AnalysisService(session)
    found = []
    for item in service.listing(job).items:
        answer = ANSWERS[item.type].view(service.asked(job, item.type)).model_dump(mode="json")
        drawn = (
            [_waterfall(answer, total) for total in answer["totals"]] if item.type == "error_budget" else []
        )
        found.append(
            Analysed(
                type=item.type,
                state=item.state,
                share=item.done / item.total if item.total else 0.0,
                answer=answer,
                waterfalls=[one for one in drawn if one is not None],
            )
        )
    return found


def _waterfall(budget: Mapping[str, Any], total: Mapping[str, Any]) -> Waterfall | None:
    steps = waterfall(budget, total)
    if not steps:
        return None
    metric = budget["metric"]
    ends = [end for step in steps for end in (step.end, step.low, step.high) if end is not None]
    margin = 0.06 * (max(ends) - min(ends)) or 0.01
    low, high = max(0.0, min(ends) - margin), max(ends) + margin

    def place(value: float) -> float:
        return _BEGIN + (_END - _BEGIN) * (min(max(value, low), high) - low) / (high - low)

    bars = [_bar(step, number, place, metric, total["variant"]) for number, step in enumerate(steps)]
    ticks = _ticks(low, high)
    return Waterfall(
        title=f"{total['variant']}, {duration(total['t_inference'])}",
        width=_WIDTH,
        height=_ROW * len(steps) + 30,
        bars=bars,
        ticks=[(place(tick), metric_words(tick, metric)) for tick in ticks],
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two ends."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _look(step: Step, variant: str, *, is_lost: bool) -> str:
    if step.kind == "level":
        return "digital" if step.name == "digital" else variant
    return "lost" if is_lost else "won"


def _bar(step: Step, number: int, place: Any, metric: str, variant: str) -> Bar:
    begin, end = place(step.begin), place(step.end)
    is_lost = step.end < step.begin if metric == "accuracy" else step.end > step.begin
    is_level = step.kind == "level"
    return Bar(
        name=step.name,
        y=_ROW * number + 4,
        x=min(begin, end),
        width=max(abs(end - begin), 1.0),
        interval=None
        if step.low is None or step.high is None
        else (place(min(step.low, step.high)), place(max(step.low, step.high))),
        link=begin if step.kind == "alone" else end,
        look=_look(step, variant, is_lost=is_lost),
        value=metric_words(step.end, metric) if is_level else difference(step.end - step.begin, metric),
    )
