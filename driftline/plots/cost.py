"""What an inference costs: energy by layer and by component, and accuracy against energy, with bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from driftline.plots import files, style
from driftline.quantities import band, quantity, scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colour and hatch tell components apart; a hatch does it without colour.
LOOKS: Final = (
    ("#0072B2", ""), ("#E69F00", "//"), ("#009E73", "\\\\"), ("#CC79A7", ".."), ("#56B4E9", "xx"),
    ("#D55E00", "--"), ("#F0E442", "||"),
)  # fmt: skip
REST: Final = ("#B8BEC3", "")
_REST_NAME: Final = "all others"
_MOST_LAYERS: Final = 30
_NAME_COLUMNS: Final = 26
_ROW_INCHES: Final = 0.27
_NOTE: Final = "whiskers: band of the estimate; bands that overlap have no order"


@dataclass(frozen=True)
class _Row:
    """A bar: its name, the nominal energy of each component in it, and the band of the whole."""

    name: str
    parts: Mapping[str, float]
    total: Mapping[str, float]


def shown_components(answer: Mapping[str, Any]) -> list[str]:
    """Return the components that are shown by name, the largest first; the rest is shown together."""
    components = answer["components"]
    ranked = sorted(components, key=lambda name: -components[name]["nominal"])
    return ranked if len(ranked) <= len(LOOKS) else ranked[: len(LOOKS) - 1]


def cost(answer: Mapping[str, Any], title: str = "") -> Figure:
    """Return the picture of an inference's energy: stacked by layer, and by component.

    Args:
        answer: as the cost endpoints answer it.
        title: such as the job's name.
    """
    named = shown_components(answer)
    looks = {name: LOOKS[index] for index, name in enumerate(named)}
    rows = _rows(answer)
    components = _component_rows(answer, named)
    height = 2.0 + _ROW_INCHES * max(len(rows), len(components) + 2, 6)
    figure = style.new_figure(11.0, height)
    by_layer, by_component = figure.subplots(1, 2, width_ratios=(1.5, 1))
    _layers(figure, by_layer, rows, looks)
    _components(figure, by_component, components, looks)
    slots = max(len(rows), len(components), 6)
    for axes in (by_layer, by_component):
        axes.set_ylim(slots - 0.4, -0.6)
        axes.grid(visible=True, color=style.FAINT, axis="x")
        axes.set_axisbelow(True)
        axes.set_xlim(left=0)
    said = (band(answer["energy_j"], "J"), band(answer["latency_s"], "s"))
    by_layer.set_title(f"an inference: {said[0]}, {said[1]}", fontsize=9, loc="left")
    by_component.set_title(str(answer["profile"]), fontsize=9, loc="left", parse_math=False)
    files.set_title(figure, title)
    by_layer.annotate(
        _NOTE, (0, 0), (0, -38), xycoords="axes fraction", textcoords="offset points", fontsize=7,
        color=style.QUIET,
    )  # fmt: skip
    return figure


def accuracy_against_energy(points: Sequence[Mapping[str, Any]], metric: str, title: str = "") -> Figure:
    """Return the picture of jobs by what an inference costs and by how well they do.

    Args:
        points: each with a `name`, `energy_j` (a band), `mean` and `ci95` of the metric.
        metric: what jobs are judged by.
        title: over the picture.
    """
    figure = style.new_figure()
    axes = figure.add_subplot()
    scale = style.scale_of(metric)
    smallest = min((point["energy_j"]["nominal"] for point in points), default=0.0)
    factor, unit = scale_of(smallest, "J")
    for index, point in enumerate(points):
        energy, mean = point["energy_j"], scale * point["mean"]
        around = [
            [factor * (energy["nominal"] - energy["low"])],
            [factor * (energy["high"] - energy["nominal"])],
        ]
        half = 0.0 if point["ci95"] is None else scale * (point["ci95"][1] - point["mean"])
        name = files.drawable(figure, _short(point["name"]))
        axes.errorbar(
            [factor * energy["nominal"]], [mean], xerr=around, yerr=[half],
            color=style.JOBS[index % len(style.JOBS)], marker="osD^vP*X"[index % 8], markersize=6, capsize=3,
            linestyle="", label=name,
        )  # fmt: skip
    if points:
        axes.set_xscale("log")
    axes.set_xlabel(f"energy of an inference ({unit})")
    axes.set_ylabel(style.metric_label(metric))
    files.set_title(figure, title)
    style.finish(axes, note="bars: band of the estimate, and 95 % interval of the mean over chips")
    legend = axes.get_legend()
    for text in legend.get_texts() if legend is not None else ():
        text.set_parse_math(False)
    return figure


def _rows(answer: Mapping[str, Any]) -> list[_Row]:
    """Return a bar for each layer, in order; of many, those that cost most, and the rest as one."""
    layers = list(answer["layers"])
    if len(layers) <= _MOST_LAYERS:
        return [_layer_row(layer) for layer in layers]
    ranked = sorted(range(len(layers)), key=lambda index: -layers[index]["energy_j"]["nominal"])
    kept = set(ranked[: _MOST_LAYERS - 1])
    rest = [layer for index, layer in enumerate(layers) if index not in kept]
    parts: dict[str, float] = {}
    for layer in rest:
        for name, energy in layer["components"].items():
            parts[name] = parts.get(name, 0.0) + energy["nominal"]
    total = {end: sum(layer["energy_j"][end] for layer in rest) for end in ("low", "nominal", "high")}
    shown = [_layer_row(layer) for index, layer in enumerate(layers) if index in kept]
    return [*shown, _Row(f"{len(rest)} others", parts, total)]


def _layer_row(layer: Mapping[str, Any]) -> _Row:
    parts = {name: energy["nominal"] for name, energy in layer["components"].items()}
    nodes = f" ×{layer['nodes']}" if layer["nodes"] > 1 else ""
    return _Row(_short(layer["name"]) + nodes, parts, layer["energy_j"])


def _component_rows(answer: Mapping[str, Any], named: Sequence[str]) -> list[_Row]:
    components = answer["components"]
    rows = [_Row(name, {name: components[name]["nominal"]}, components[name]) for name in named]
    others = [components[name] for name in components if name not in named]
    if others:
        total = {end: sum(one[end] for one in others) for end in ("low", "nominal", "high")}
        rows.append(_Row(_REST_NAME, {_REST_NAME: total["nominal"]}, total))
    return rows


def _layers(figure: Figure, axes: Axes, rows: Sequence[_Row], looks: Mapping[str, tuple[str, str]]) -> None:
    factor, unit = scale_of(max((row.total["nominal"] for row in rows), default=0.0), "J")
    for place, row in enumerate(rows):
        left = 0.0
        shown = [(name, row.parts[name], look) for name, look in looks.items() if name in row.parts]
        rest = sum(value for name, value in row.parts.items() if name not in looks)
        for _, value, (colour, hatch) in [*shown, *([("", rest, REST)] if rest else [])]:
            axes.barh(
                place,
                factor * value,
                0.72,
                left=left,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0.4,
            )
            left += factor * value
    _whiskers(axes, rows, factor)
    axes.set_yticks(
        range(len(rows)), [files.drawable(figure, row.name) for row in rows], fontsize=8, parse_math=False
    )
    axes.set_xlabel(f"energy by layer ({unit})")


def _components(
    figure: Figure, axes: Axes, rows: Sequence[_Row], looks: Mapping[str, tuple[str, str]]
) -> None:
    factor, unit = scale_of(max((row.total["nominal"] for row in rows), default=0.0), "J")
    for place, row in enumerate(rows):
        colour, hatch = looks.get(row.name, REST)
        axes.barh(
            place,
            factor * row.total["nominal"],
            0.72,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.4,
        )
        axes.annotate(
            quantity(row.total["nominal"], "J"), (factor * row.total["high"], place), (5, 0), va="center",
            textcoords="offset points", fontsize=8, color=style.QUIET,
        )  # fmt: skip
    axes.margins(x=0.22)  # room for the numbers
    _whiskers(axes, rows, factor)
    names = [files.drawable(figure, row.name.replace("_", " ")) for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8, parse_math=False)
    axes.set_xlabel(f"energy by component ({unit})")


def _whiskers(axes: Axes, rows: Sequence[_Row], factor: float) -> None:
    totals = [row.total for row in rows]
    around = [
        [factor * (total["nominal"] - total["low"]) for total in totals],
        [factor * (total["high"] - total["nominal"]) for total in totals],
    ]
    axes.errorbar(
        [factor * total["nominal"] for total in totals], range(len(totals)), xerr=around, linestyle="",
        color=style.DIGITAL.colour, elinewidth=0.8, capsize=2,
    )  # fmt: skip


def _short(name: str) -> str:
    return name if len(name) <= _NAME_COLUMNS else "…" + name[-_NAME_COLUMNS + 1 :]
