"""An estimate as the API answers it, and what a profile is worth at its best."""

from __future__ import annotations

from typing import Any

from simulator.cost.bands import Band
from simulator.cost.peak import peak
from simulator.cost.profile import HardwareProfile
from simulator.cost.results import Estimate, LayerCost


def estimate_json(found: Estimate) -> dict[str, Any]:
    """Return an estimate as plain values: energies in J, times in s, areas in mm2."""
    components = found.components
    static = set(found.profile.static_power)
    analog, always, digital = (
        Band.total(band for name, band in components.items() if _group(name, found.analog, static) == group)
        for group in ("analog", "static", "digital")
    )
    return {
        "profile": found.profile.name,
        "energy_j": found.energy_j.as_json(),
        "analog_j": analog.as_json(),
        "digital_j": digital.as_json(),
        "static_j": always.as_json(),
        "latency_s": found.latency_s.as_json(),
        "interval_s": found.interval_s.as_json(),
        "area_mm2": None if found.area_mm2 is None else found.area_mm2.as_json(),
        "area_components": {name: band.as_json() for name, band in found.area_parts.items()},
        "tops": found.tops.as_json(),
        "tops_per_w": found.tops_per_w.as_json(),
        "energy_delay_js": found.energy_delay_js.as_json(),
        "macs": found.macs,
        "tiles": sum(layer.tiles for layer in found.layers),
        "tile_operations": sum(layer.tile_operations for layer in found.layers),
        "utilisation": _utilisation(found),
        "maintenance": [{"do": do, "energy_j": band.as_json()} for do, band in found.maintenance.items()],
        "components": {name: band.as_json() for name, band in components.items()},
        "groups": {name: _group(name, found.analog, static) for name in components},
        "layers": [_layer_json(layer) for layer in found.layers],
        "assumptions": found.assumptions,
        "sources": found.sources,
    }


def peak_json(profile: HardwareProfile) -> dict[str, Any]:
    """Return what a profile's chip does at best, at its default bits: every array full, nothing around."""
    best = peak(profile)
    return {
        "input_bits": profile.converters.input_bits,
        "output_bits": profile.converters.output_bits,
        "energy_per_product_j": best.energy_j.as_json(),
        "time_per_product_s": best.time_s.as_json(),
        "tops": best.tops.as_json(),
        "tops_per_w": best.tops_per_w.as_json(),
        "tops_per_mm2": None if best.tops_per_mm2 is None else best.tops_per_mm2.as_json(),
    }


def _group(name: str, analog: frozenset[str], static: set[str]) -> str:
    if name in static:
        return "static"
    return "analog" if name in analog else "digital"


def _utilisation(found: Estimate) -> float | None:
    """Return the share of all arrays' weights that are in use; None without any."""
    tiles = sum(layer.tiles for layer in found.layers)
    if not tiles:
        return None
    return sum((layer.utilisation or 0.0) * layer.tiles for layer in found.layers) / tiles


def _layer_json(layer: LayerCost) -> dict[str, Any]:
    return {
        "name": layer.name,
        "op": layer.op,
        "kind": layer.kind,
        "nodes": layer.nodes,
        "products": layer.products,
        "tiles": layer.tiles,
        "tile_operations": layer.tile_operations,
        "utilisation": layer.utilisation,
        "macs": layer.macs,
        "energy_j": layer.energy_j.as_json(),
        "latency_s": layer.latency.as_json(),
        "components": {name: band.as_json() for name, band in layer.energy.items()},
    }
