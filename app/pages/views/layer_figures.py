"""One layer looked at closely: its weights before and after programming, and what its converters get."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from app.pages.histogram import Steps, histogram
from app.pages.words import duration

_TARGET: Final = ("target", "#14191d", "4 3")
_PROGRAMMED: Final = ("programmed", "#0072B2", "")
# From an hour to a year, the later the fainter.
_DRIFTED: Final = (("aged-0", "#0072B2", ""), ("aged-1", "#3d94c6", "7 2"), ("aged-2", "#7ab8dc", "3 2"))
_CLIPS_AT: Final = 1.0


@dataclass(frozen=True)
class LayerFigure:
    """A small picture of a layer.

    Attributes:
        title: what it shows.
        drawing: the picture.
        legend: (class, words) of each of its lines.
        note: what to look for.
    """

    title: str
    drawing: Markup
    legend: tuple[tuple[str, str], ...]
    note: str


@dataclass(frozen=True)
class LayerFigures:
    """The pictures of one layer.

    Attributes:
        name: of the layer.
        names: of all layers that can be chosen.
        figures: its pictures; none where the job was described by an older version of the service.
    """

    name: str
    names: tuple[str, ...]
    figures: tuple[LayerFigure, ...]


def layer_figures(conversion: Mapping[str, Any] | None, name: str | None) -> LayerFigures | None:
    """Return the pictures of a layer, of the one with the worst signal if none is named or known.

    Args:
        conversion: the job's `conversion.json`; None where there is none.
        name: of the layer that is asked for.
    """
    found = {layer["name"]: layer for layer in (conversion or {}).get("layers", [])}
    if not found:
        return None
    chosen = name if name in found else min(found, key=lambda one: _signal(found[one]))
    return LayerFigures(str(chosen), tuple(found), tuple(_figures(found[chosen])))


def _signal(layer: Mapping[str, Any]) -> float:
    snr = layer.get("snr_db")
    return float(snr) if isinstance(snr, int | float) else float("inf")


def _figures(layer: Mapping[str, Any]) -> Iterator[LayerFigure]:
    weights = layer.get("weights")
    if weights is not None:
        target = _steps("as wanted", weights["target"], _TARGET)
        programmed = _steps("as programmed", weights["programmed"], _PROGRAMMED)
        yield _figure(
            "Weights, programmed",
            (target, programmed),
            weights["limit"],
            "normalised",
            "Programming noise widens the peaks.",
        )
        aged = tuple(
            _steps(duration(one["t_inference"]), one["counts"], look)
            for one, look in zip(weights["drifted"], _DRIFTED, strict=False)
        )
        if aged:
            note = "Drift pulls weights towards zero; compensation scales them back as a whole."
            yield _figure("Weights, drifted", (target, *aged), weights["limit"], "normalised", note)
    for key, what in (("dac", "DAC inputs"), ("adc", "ADC inputs")):
        if layer.get(key) is not None:
            found = layer[key]
            steps = _steps(what, found["counts"], _PROGRAMMED)
            note = "The dashed lines are where it clips. Values crowded at zero waste its resolution."
            yield _figure(what, (steps,), found["limit"], "of the bound", note, bound=_CLIPS_AT)


def _steps(label: str, counts: list[float], look: tuple[str, str, str]) -> Steps:
    return Steps(label, counts, *look)


def _figure(
    title: str, shown: tuple[Steps, ...], limit: float, unit: str, note: str, *, bound: float | None = None
) -> LayerFigure:
    legend = tuple((one.look, one.label) for one in shown) if len(shown) > 1 else ()
    return LayerFigure(title, histogram(shown, limit=limit, unit=unit, bound=bound), legend, note)
