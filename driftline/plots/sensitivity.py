"""Which layer cannot stand the hardware: what each costs alone, and what keeping it digital wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from driftline.plots import files, style
from driftline.times import in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_PANELS: Final = 4
_ROW_INCHES: Final = 0.24
_NAME_COLUMNS: Final = 30
_MODES: Final = {
    "one_analog": ("loss", "lost with it alone on tiles", "#D55E00"),
    "one_digital": ("won_back", "won back with it digital", "#009E73"),
}


def layer_sensitivity(found: Mapping[str, Any], title: str = "") -> Figure:
    """Return the picture of a layer sensitivity: bars by layer, with the shares of devices and operations.

    Args:
        found: as the analyses endpoint answers it.
        title: such as the job's name.
    """
    totals = list(found["totals"])[:_MOST_PANELS]
    parts = [
        [
            row
            for row in found["rows"]
            if (row["variant"], row["t_inference"]) == (one["variant"], one["t_inference"])
        ]
        for one in totals
    ]
    names = list(dict.fromkeys(row["layer"] for row in found["rows"]))
    height = _ROW_INCHES * max(4, len(names))
    figure = style.new_figure(10.0, 0.9 + (height + 0.8) * max(1, len(totals)))
    panels = figure.subplots(max(1, len(totals)), 3, squeeze=False, sharey="row", width_ratios=(3, 1.2, 1.2))
    for row, one, part in zip(panels, totals, parts, strict=False):
        _draw_costs(row[0], part, names, found["metric"])
        _draw_snr(row[1], part, names)
        _draw_shares(row[2], part, names)
        shown = [files.drawable(figure, _short(name)) for name in names]
        row[0].set_yticks(range(len(names)), shown, fontsize=8, parse_math=False)
        row[0].set_ylim(len(names) - 0.5, -0.5)
        row[0].set_title(f"{one['variant']}, {in_words(one['t_inference'])}", fontsize=9, loc="left")
        for axes in row:
            axes.tick_params(axis="x", labelsize=8)
            style.finish(axes)
            axes.grid(visible=False, axis="y")
    files.set_title(figure, title)
    return figure


def _draw_costs(axes: Axes, rows: Sequence[Mapping[str, Any]], names: Sequence[str], metric: str) -> None:
    factor = style.scale_of(metric)
    modes = [mode for mode in _MODES if any(row["mode"] == mode for row in rows)]
    size = 0.8 / max(1, len(modes))
    for number, mode in enumerate(modes):
        key, label, colour = _MODES[mode]
        values = {row["layer"]: row[key] for row in rows if row["mode"] == mode and row[key] is not None}
        known = {name: one for name, one in values.items() if one["mean"] is not None}
        places = [names.index(name) + size * (number - (len(modes) - 1) / 2) for name in known]
        means = [factor * one["mean"] for one in known.values()]
        axes.barh(places, means, 0.92 * size, color=colour, label=label)
        for place, one in zip(places, known.values(), strict=True):
            if one["ci95"] is not None:
                ends = [factor * end for end in one["ci95"]]
                axes.plot(ends, [place, place], color="black", linewidth=0.8)
    unit = "points of accuracy" if metric == "accuracy" else metric
    axes.set_xlabel(unit, fontsize=8)
    axes.axvline(0, color=style.QUIET, linewidth=0.7)


def _draw_snr(axes: Axes, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    values = {row["layer"]: row["snr_db"] for row in rows if row["snr_db"] is not None}
    axes.barh([names.index(name) for name in values], list(values.values()), 0.7, color=style.PLAIN)
    axes.set_xlabel("signal to noise (dB)", fontsize=8)


def _draw_shares(axes: Axes, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    looks = (("devices_share", "devices", "#56B4E9"), ("macs_share", "operations", "#CC79A7"))
    for offset, (key, label, colour) in enumerate(looks):
        shares = {row["layer"]: 100 * row[key] for row in rows}
        places = [names.index(name) + 0.4 * offset - 0.2 for name in shares]
        axes.barh(places, list(shares.values()), 0.37, color=colour, label=label)
    axes.set_xlabel("share (%)", fontsize=8)


def _short(name: str) -> str:
    return name if len(name) <= _NAME_COLUMNS else "\u2026" + name[-_NAME_COLUMNS + 1 :]
