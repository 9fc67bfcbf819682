"""Small histograms as SVG inside a page: presentation attributes alone, so that no style is inline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

_WIDTH: Final = 320.0
_HEIGHT: Final = 120.0
_BOTTOM: Final = 18.0  # for the labels of the axis
_TOP: Final = 6.0


@dataclass(frozen=True)
class Steps:
    """One histogram of a picture.

    Attributes:
        label: in words.
        counts: of its bins, rising; all histograms of a picture have the same.
        look: its class, which the style sheet colours.
        colour: without a style sheet.
        dash: of its line; empty for a solid one.
    """

    label: str
    counts: Sequence[float]
    look: str
    colour: str
    dash: str = ""


def histogram(shown: Sequence[Steps], *, limit: float, unit: str, bound: float | None = None) -> Markup:
    """Return histograms over each other, each as a share of its own largest bin.

    Args:
        shown: what is drawn, the last on top.
        limit: the bins go from minus this to this.
        unit: of the axis, in words.
        bound: where a converter clips, on both sides; a dashed line.
    """
    title = f"Histogram of {', '.join(one.label for one in shown)} from {-limit:g} to {limit:g}, {unit}"
    return Markup(  # noqa: S704 - made of numbers, and of words that are escaped
        f'<svg class="histogram" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" '
        f'aria-label="{escape(title)}">{"".join(_parts(shown, limit, unit, bound))}</svg>'
    )


def _parts(shown: Sequence[Steps], limit: float, unit: str, bound: float | None) -> Iterator[str]:
    floor = _HEIGHT - _BOTTOM
    yield f'<line class="axis" x1="0" x2="{_WIDTH:g}" y1="{floor:g}" y2="{floor:g}" stroke="#999"/>'
    if bound is not None and bound < limit:
        for edge in (-bound, bound):
            x = _place(edge, limit)
            yield (
                f'<line class="bound" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{floor:g}" stroke="#14191d" '
                'stroke-dasharray="3 3"/>'
            )
    for one in shown:
        dashed = f' stroke-dasharray="{one.dash}"' if one.dash else ""
        yield (
            f'<polyline class="{one.look}" points="{_steps(one.counts)}" fill="none" stroke="{one.colour}" '
            f'stroke-width="1.6"{dashed}/>'
        )
    for value, anchor in ((-limit, "start"), (0.0, "middle"), (limit, "end")):
        label = f"{value:.3g}" if value else f"0 ({unit})"
        yield (
            f'<text x="{_place(value, limit):.1f}" y="{_HEIGHT - 4:g}" text-anchor="{anchor}" font-size="11">'
            f"{escape(label)}</text>"
        )


def _steps(counts: Sequence[float]) -> str:
    most = max(counts, default=0) or 1
    width = _WIDTH / max(1, len(counts))
    floor = _HEIGHT - _BOTTOM
    places = []
    for number, count in enumerate(counts):
        y = floor - (floor - _TOP) * count / most
        places += [f"{number * width:.1f},{y:.1f}", f"{(number + 1) * width:.1f},{y:.1f}"]
    return " ".join(places)


def _place(value: float, limit: float) -> float:
    return _WIDTH / 2 * (1 + value / limit)
