"""Samples of a dataset as a picture: pictures as they are, series as curves, numbers as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from app.datasets.schemas import SampleContent, SamplesView, SampleView

_WIDTH, _HEIGHT, _GAP, _LABEL = 132, 120, 10, 18
_IN_A_ROW = 4
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_LINES, _COLUMNS = 8, 19  # of text


def draw(view: SamplesView) -> str:
    """Return the samples as SVG, each with its target below; it holds all that it shows."""
    count = len(view.items)
    columns, rows = max(1, min(count, _IN_A_ROW)), max(1, -(-count // _IN_A_ROW))
    width = columns * (_WIDTH + _GAP) + _GAP
    height = rows * (_HEIGHT + _LABEL + _GAP) + _GAP
    cards = "".join(_card(item, index) for index, item in enumerate(view.items))
    if not count:
        cards = f'<text x="{_GAP}" y="{_HEIGHT / 2}">no samples were kept</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{cards}</svg>'
    )


def _card(item: SampleView, index: int) -> str:
    x = _GAP + index % _IN_A_ROW * (_WIDTH + _GAP)
    y = _GAP + index // _IN_A_ROW * (_HEIGHT + _LABEL + _GAP)
    share = _HEIGHT / max(1, len(item.inputs))
    content = "".join(
        f'<g transform="translate(0 {place * share:g})">{_content(one, share - 2)}</g>'
        for place, one in enumerate(item.inputs)
    )
    label = f'<text x="0" y="{_HEIGHT + 13}" fill="#333">{escape(_target(item))}</text>'
    return f'<g transform="translate({x} {y})">{content}{label}</g>'


def _target(item: SampleView) -> str:
    target = item.target
    if isinstance(target, list):
        return ", ".join(f"{one:g}" for one in target)[: _COLUMNS - 1]
    return target[: _COLUMNS - 1] if isinstance(target, str) else f"{target:g}"


def _content(one: SampleContent, height: float) -> str:
    if one.png is not None:
        return (
            f'<image width="{_WIDTH}" height="{height:g}" style="image-rendering:pixelated"'
            f' href="data:image/png;base64,{escape(one.png)}"/>'
        )
    values = one.values or []
    if one.kind == "series":
        return "".join(_curves([value for value in values if isinstance(value, list)], height))
    numbers = [f"{value:g}" for value in values if not isinstance(value, list)]
    lines = list(_lines(numbers if one.whole else [*numbers, "…"]))[: min(_LINES, int(height // 14))]
    return "".join(
        f'<text x="0" y="{14 * place + 11}" font-size="11" fill="#14191d">{escape(line)}</text>'
        for place, line in enumerate(lines)
    )


def _curves(curves: Sequence[Sequence[float]], height: float) -> Iterator[str]:
    low = min((min(curve) for curve in curves if curve), default=0.0)
    high = max((max(curve) for curve in curves if curve), default=1.0)
    for curve, colour in zip(curves, _COLOURS, strict=False):
        step = _WIDTH / max(1, len(curve) - 1)
        points = " ".join(
            f"{place * step:.1f},{height - 2 - (height - 4) * (value - low) / ((high - low) or 1):.1f}"
            for place, value in enumerate(curve)
        )
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3"/>'


def _lines(words: Sequence[str]) -> Iterator[str]:
    line = ""
    for word in words:
        if line and len(line) + 1 + len(word) > _COLUMNS:
            yield line
            line = ""
        line = f"{line} {word}".strip()
    yield line
