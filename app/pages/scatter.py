"""Points with bands on both axes as SVG inside a page, the horizontal axis logarithmic.

Presentation attributes alone, so that no style is inline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from driftline.quantities import quantity

_WIDTH: Final = 640.0
_HEIGHT: Final = 320.0
_LEFT: Final = 58.0
_RIGHT: Final = 14.0
_TOP: Final = 14.0
_BOTTOM: Final = 40.0
_STEPS: Final = (1, 2, 5)
_MOST_TICKS: Final = 7


@dataclass(frozen=True)
class Point:
    """A point.

    Attributes:
        letter: that stands for it in the table.
        title: in words.
        x: low, nominal, high; all positive.
        y: low, nominal, high.
    """

    letter: str
    title: str
    x: tuple[float, float, float]
    y: tuple[float, float, float]


def scatter(
    points: Sequence[Point], *, unit: str, x_label: str, y_label: str, y_words: Callable[[float], str]
) -> Markup:
    """Return points with their bands.

    Args:
        points: at least one.
        unit: of the horizontal axis.
        x_label: of the horizontal axis, in words.
        y_label: of the vertical axis, in words.
        y_words: says a value of the vertical axis.
    """
    title = f"{y_label} against {x_label} of {len(points)} jobs; the table below has the numbers"
    return Markup(  # noqa: S704 - made of numbers, and of words that are escaped
        f'<svg class="scatter" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(title)}">'
        f"{''.join(_parts(points, unit, x_label, y_words))}</svg>"
    )


def _parts(
    points: Sequence[Point], unit: str, x_label: str, y_words: Callable[[float], str]
) -> Iterator[str]:
    low_x = math.log10(min(point.x[0] for point in points)) - 0.08
    high_x = math.log10(max(point.x[2] for point in points)) + 0.08
    low_y, high_y = min(point.y[0] for point in points), max(point.y[2] for point in points)
    room = 0.08 * (high_y - low_y) or 0.02 * abs(high_y) or 1.0
    low_y, high_y = low_y - room, high_y + room

    def across(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (math.log10(value) - low_x) / (high_x - low_x)

    def down(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (value - low_y) / (high_y - low_y)

    floor, end = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for value in _ticks(low_x, high_x):
        yield _line("grid", f"M{across(value):.1f} {_TOP:g} V{floor:g}", "#ddd")
        yield _text(across(value), floor + 16, quantity(value, unit))
    for step in range(5):
        value = low_y + room + (high_y - low_y - 2 * room) * step / 4
        yield _line("grid", f"M{_LEFT:g} {down(value):.1f} H{end:g}", "#ddd")
        yield _text(_LEFT - 6, down(value) + 4, y_words(value), anchor="end")
    yield _line("axis", f"M{_LEFT:g} {_TOP:g} V{floor:g} H{end:g}", "#999")
    yield _text((_LEFT + end) / 2, _HEIGHT - 6, x_label)
    for number, point in enumerate(points):
        x, y = across(point.x[1]), down(point.y[1])
        bars = (
            f"M{across(point.x[0]):.1f} {y:.1f} H{across(point.x[2]):.1f} "
            f"M{x:.1f} {down(point.y[0]):.1f} V{down(point.y[2]):.1f}"
        )
        yield f"<g><title>{escape(point.title)}</title>{_line('point', bars, '#14191d')}"
        yield f'<circle class="hwa" cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#0072B2"/>'
        beside = -7 if number % 2 == 0 else 15  # so that two equal points can be told apart
        yield _text(x + 7, y + beside, point.letter, anchor="start", look="letter-mark") + "</g>"


def _line(look: str, path: str, colour: str) -> str:
    return f'<path class="{look}" d="{path}" fill="none" stroke="{colour}"/>'


def _text(x: float, y: float, words: str, *, anchor: str = "middle", look: str = "label") -> str:
    return (
        f'<text class="{look}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11">'
        f"{escape(words)}</text>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers within a logarithmic axis: all of 1, 2 and 5, or as many powers as fit."""
    found = [
        step * 10.0**power
        for power in range(math.floor(low), math.ceil(high) + 1)
        for step in _STEPS
        if low <= math.log10(step) + power <= high
    ]
    if len(found) <= _MOST_TICKS:
        return found
    powers = [value for value in found if math.isclose(math.log10(value), round(math.log10(value)))]
    return powers[:: math.ceil(len(powers) / _MOST_TICKS)]
