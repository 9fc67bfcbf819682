"""Small curves as SVG inside a page: presentation attributes alone, so that no style is inline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from markupsafe import Markup, escape

_WIDTH: Final = 132
_HEIGHT: Final = 34
_MARGIN: Final = 3.0
_SMALLEST_SPAN: Final = 0.02  # of an accuracy: less would make a mountain of noise
_STROKES: Final = {
    "direct": ("#D55E00", ""),
    "hwa": ("#0072B2", "6 2"),
    "control": ("#767676", "2 2"),
}
Curve = Sequence[tuple[float, float]]


def sparkline(curves: Mapping[str, Curve], digital: float | None, title: str) -> Markup | None:
    """Return the curves of a job's variants over log time; None where there is no point.

    Args:
        curves: (seconds, metric) by variant, in the order of time.
        digital: the metric of the model as uploaded: a dashed line.
        title: what a screen reader says.
    """
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return None
    positions = [_position(seconds) for seconds, _ in points]
    levels = [level for _, level in points] + ([] if digital is None else [digital])
    left, right = min(positions), max(positions)
    low, high = min(levels), max(levels)
    missing = max(0.0, _SMALLEST_SPAN - (high - low)) if max(map(abs, levels)) <= 1 else 0.0
    low -= missing

    def place(seconds: float, level: float) -> tuple[float, float]:
        share = (_position(seconds) - left) / (right - left) if right > left else 0.5
        x = _MARGIN + share * (_WIDTH - 2 * _MARGIN)
        rise = (level - low) / (high - low) if high > low else 0.5
        y = _HEIGHT - _MARGIN - rise * (_HEIGHT - 2 * _MARGIN)
        return round(x, 1), round(y, 1)

    def parts() -> Iterator[str]:
        if digital is not None:
            _, y = place(points[0][0], digital)
            yield (
                f'<line class="digital" x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}" stroke="#000" '
                'stroke-dasharray="4 3"/>'
            )
        for variant, curve in curves.items():
            colour, dash = _STROKES[variant]
            places = [place(seconds, level) for seconds, level in curve]
            path = " ".join(f"{x},{y}" for x, y in places)
            dashed = f' stroke-dasharray="{dash}"' if dash else ""
            yield (
                f'<polyline class="{variant}" points="{path}" fill="none" stroke="{colour}" '
                f'stroke-width="1.5"{dashed}/>'
            )
            x, y = places[-1]
            yield f'<circle class="{variant}" cx="{x}" cy="{y}" r="2" fill="{colour}"/>'

    return Markup(  # noqa: S704 - made of numbers, and of a title that is escaped
        f'<svg class="sparkline" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'role="img" aria-label="{escape(title)}">{"".join(parts())}</svg>'
    )


def _position(seconds: float) -> float:
    """Return where a time lies on the axis; a logarithm has no zero, so the earliest is at a tenth of 1 s."""
    return math.log10(max(seconds, 0.1))
