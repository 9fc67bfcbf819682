"""What an inference costs, as a job's page shows it: energy by layer and by component, all with bands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.cost.jobs import JobCost, NoCostError, job_cost
from app.db.tables import Job
from app.pages.rendering import Pages
from driftline.quantities import band, quantity
from simulator.cost import profile_names

_REPROGRAM: Final = "reprogram"
_NAMED: Final = 6  # components with a look of their own; the others share one
_REST: Final = "rest"
_WIDTH: Final = 260.0
_MOST_LAYERS: Final = 60
_DOES: Final = {
    "compensate": "a readout for drift compensation",
    "calibrate_input_ranges": "calibrating the input ranges on 512 samples",
    "refresh_batch_norm": "refreshing batch normalisation on 512 samples",
    _REPROGRAM: "programming all devices anew",
}


@dataclass(frozen=True)
class Part:
    """A piece of a stacked bar: its look, its place and its length in the picture, and what it is."""

    look: str
    x: float
    width: float
    said: str


@dataclass(frozen=True)
class Bar:
    """A stacked bar with the band of the whole.

    Attributes:
        name: of the layer or component.
        look: of a bar that is a single component; empty for a layer.
        kind: `analog`, `digital` or `static`.
        parts: of the stack.
        low: where the band begins in the picture.
        high: where it ends.
        said: the estimate with its band.
        value: for sorting, in J.
        tile_operations: of a layer; 0 of others.
        utilisation: of a layer's tiles; None of others.
        latency: of a layer, with its band; empty for a component.
    """

    name: str
    look: str
    kind: str
    parts: Sequence[Part]
    low: float
    high: float
    said: str
    value: float
    tile_operations: int = 0
    utilisation: float | None = None
    latency: str = ""


@dataclass(frozen=True)
class CostSection:
    """The section of a job's page.

    Attributes:
        profile: in use; None where there is no cost.
        reason: why there is none.
        is_own: whether the job itself names the hardware.
        is_final: whether nothing that the job measures later will change it.
        figures: name and value of the numbers that matter most.
        layers: bars in the order of the network.
        more_layers: how many of those that cost least are not among them.
        components: bars, the largest first.
        maintenance: what is done now and then, and what it costs.
        assumptions: what was assumed, and what is not counted.
        sources: where prices were published.
        warnings: of tiles that differ.
        choices: profiles that ship, each with the address that shows it.
    """

    profile: str | None
    reason: str
    is_own: bool
    is_final: bool
    figures: Sequence[tuple[str, str]]
    layers: Sequence[Bar]
    more_layers: int
    components: Sequence[Bar]
    maintenance: Sequence[tuple[str, str]]
    assumptions: Sequence[str]
    sources: Sequence[str]
    warnings: Sequence[str]
    choices: Sequence[tuple[str, str]]


def cost_section(pages: Pages, job: Job, profile: str | None) -> CostSection:
    """Return what a job's page says of its cost.

    Args:
        pages: the request's.
        job: the job.
        profile: name of a profile to use in the place of the job's own.
    """
    choices = [(name, pages.address_with(hardware=name) + "#cost") for name in profile_names()]
    reason, found = "", None
    try:
        found = job_cost(pages.session, pages.services.blobs, job, profile)
    except NoCostError as error:
        reason = str(error)
    if found is None:
        return CostSection(
            None, reason, is_own=False, is_final=True, figures=(), layers=(), more_layers=0,
            components=(), maintenance=(), assumptions=(), sources=(), warnings=(), choices=choices,
        )  # fmt: skip
    return _section(found, choices)


def _maintenance(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is done now and then with its energy; reprogramming is named where it has none, too."""
    known = {one["do"]: band(one["energy_j"], "J") for one in answer["maintenance"]}
    for does, said in known.items():
        yield _DOES.get(does, does), said
    if answer["tiles"] and _REPROGRAM not in known:
        yield _DOES[_REPROGRAM], "not priced by this profile"


def _section(found: JobCost, choices: Sequence[tuple[str, str]]) -> CostSection:
    answer = found.answer
    looks = _looks(answer["components"])
    layers = list(answer["layers"])
    kept = sorted(layers, key=lambda layer: -layer["energy_j"]["nominal"])[:_MOST_LAYERS]
    names = {id(layer) for layer in kept}
    shown = [layer for layer in layers if id(layer) in names]
    return CostSection(
        profile=answer["profile"],
        reason="",
        is_own=found.is_own,
        is_final=found.is_final,
        figures=list(_figures(answer)),
        layers=list(_layer_bars(shown, looks)),
        more_layers=len(layers) - len(shown),
        components=list(_component_bars(answer, looks)),
        maintenance=list(_maintenance(answer)),
        assumptions=answer["assumptions"],
        sources=answer["sources"],
        warnings=[one["message"] for one in answer["warnings"]],
        choices=choices,
    )


def _figures(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what matters most; two after the other stand beside each other where there is room."""
    yield "Energy of an inference", band(answer["energy_j"], "J")
    yield "Latency", band(answer["latency_s"], "s")
    yield "Analog part of the energy", band(answer["analog_j"], "J")
    yield "Between inferences", band(answer["interval_s"], "s")
    yield "Digital part of the energy", band(answer["digital_j"], "J")
    yield "Throughput", band(answer["tops"], "TOPS")
    yield "Area", "not priced" if answer["area_mm2"] is None else band(answer["area_mm2"], "mm²")
    yield "Efficiency", band(answer["tops_per_w"], "TOPS/W")
    yield "Energy times latency", band(answer["energy_delay_js"], "J s")
    used = answer["utilisation"]
    utilisation = "" if used is None else f", {100 * used:.3g} % used"
    yield "Arrays", f"{answer['tiles']:,}{utilisation}"
    yield "Tile operations", f"{answer['tile_operations']:,}"
    if answer["static_j"]["nominal"]:
        yield "Energy that always flows", band(answer["static_j"], "J")


def _looks(components: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """Return the look of each component: the largest have their own."""
    ranked = sorted(components, key=lambda name: -components[name]["nominal"])
    named = ranked if len(ranked) <= _NAMED + 1 else ranked[:_NAMED]
    return {name: f"part-{named.index(name)}" if name in named else _REST for name in ranked}


def _layer_bars(layers: Sequence[Mapping[str, Any]], looks: Mapping[str, str]) -> Iterator[Bar]:
    most = max((layer["energy_j"]["high"] for layer in layers), default=0.0) or 1.0
    for layer in layers:
        nodes = f" ×{layer['nodes']}" if layer["nodes"] > 1 else ""
        parts = {name: energy["nominal"] for name, energy in layer["components"].items()}
        yield Bar(
            name=layer["name"] + nodes,
            look="",
            kind=layer["kind"],
            parts=list(_stack(parts, looks, most)),
            **_band(layer["energy_j"], most),
            tile_operations=layer["tile_operations"],
            utilisation=layer["utilisation"],
            latency=band(layer["latency_s"], "s"),
        )


def _component_bars(answer: Mapping[str, Any], looks: Mapping[str, str]) -> Iterator[Bar]:
    components = answer["components"]
    most = max((energy["high"] for energy in components.values()), default=0.0) or 1.0
    for name, look in looks.items():
        yield Bar(
            name=name.replace("_", " "),
            look=look,
            kind=answer["groups"][name],
            parts=list(_stack({name: components[name]["nominal"]}, looks, most)),
            **_band(components[name], most),
        )


def _band(energy: Mapping[str, float], most: float) -> dict[str, Any]:
    place: Callable[[float], float] = lambda value: _WIDTH * value / most  # noqa: E731
    return {
        "low": place(energy["low"]),
        "high": place(energy["high"]),
        "said": band(energy, "J"),
        "value": energy["nominal"],
    }


def _stack(parts: Mapping[str, float], looks: Mapping[str, str], most: float) -> Iterator[Part]:
    x = 0.0
    for name, look in looks.items():
        if name not in parts:
            continue
        width = _WIDTH * parts[name] / most
        yield Part(look, x, width, f"{name.replace('_', ' ')}: {quantity(parts[name], 'J')}")
        x += width
