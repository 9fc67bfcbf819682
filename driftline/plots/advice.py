"""What the settings should be: what changes win, and how many bits each layer's converters need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from driftline.plots import files, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW_INCHES: Final = 0.26
_NAME_COLUMNS: Final = 34
_MOST_ROWS: Final = 60
_CONVERTERS: Final = {"dac": ("#E69F00", "DAC"), "adc": ("#CC79A7", "ADC")}


def advice(found: Mapping[str, Any], title: str = "") -> Figure:
    """Return the picture of an advice: gains of the changes in dB, and the fewest bits of each layer.

    Args:
        found: as the analyses endpoint answers it.
        title: such as the job's name.
    """
    rows = list(found["rows"])[:_MOST_ROWS]
    converters = list(found["converters"])[: 2 * _MOST_ROWS]
    names = list(dict.fromkeys((one["variant"], one["layer"]) for one in converters))
    height = _ROW_INCHES * max(4, len(rows), len(names))
    figure = style.new_figure(11.0, 1.3 + height)
    left, right = figure.subplots(1, 2)
    several = len(found["totals"]) > 1
    _draw_gains(left, [(_named(figure, one, several=several), one["expected_gain_db"]) for one in rows])
    shown = [files.drawable(figure, _short(f"{v}: {n}" if several else n)) for v, n in names]
    _draw_bits(right, converters, names, shown)
    files.set_title(figure, title)
    return figure


def _named(figure: Figure, row: Mapping[str, Any], *, several: bool) -> str:
    name = row["field"].rpartition(".")[2].replace("_", " ")
    where = "" if row["layer"] is None else f"{row['layer']}: "
    text = f"{row['variant']}, {where}{name}" if several else f"{where}{name}"
    return files.drawable(figure, f"{_short(text)} {_value(row['to'])}")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float) and 0 < value < 0.5:
        return f"1/{1 / value:.4g}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _draw_gains(axes: Axes, gains: Sequence[tuple[str, float]]) -> None:
    if not gains:
        axes.text(0.5, 0.5, "no change wins half a decibel", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    axes.barh(range(len(gains)), [gain for _, gain in gains], 0.7, color="#009E73")
    axes.set_yticks(range(len(gains)), [name for name, _ in gains], fontsize=8, parse_math=False)
    axes.set_ylim(max(len(gains), 4) - 0.5, -0.5)
    axes.set_xlabel("expected gain (dB)", fontsize=8)
    style.finish(axes, note="of the network's outputs; of one layer's where it is named")
    axes.grid(visible=False, axis="y")


def _draw_bits(
    axes: Axes,
    converters: Sequence[Mapping[str, Any]],
    names: Sequence[tuple[str, str]],
    shown: Sequence[str],
) -> None:
    for offset, (kind, (colour, label)) in enumerate(_CONVERTERS.items()):
        known = [one for one in converters if one["converter"] == kind and one["fewest_bits"] is not None]
        places = [names.index((one["variant"], one["layer"])) + 0.4 * offset - 0.2 for one in known]
        axes.barh(places, [one["fewest_bits"] for one in known], 0.37, color=colour, label=label)
    axes.set_yticks(range(len(shown)), shown, fontsize=8, parse_math=False)
    axes.set_ylim(max(len(shown), 4) - 0.5, -0.5)
    axes.set_xlabel("fewest bits within 1 dB of unquantised", fontsize=8)
    style.finish(axes)
    axes.grid(visible=False, axis="y")


def _short(name: str) -> str:
    return name if len(name) <= _NAME_COLUMNS else "\u2026" + name[-_NAME_COLUMNS + 1 :]
