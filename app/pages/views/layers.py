"""A network's layers: what lies on tiles, how well it does there, and what stays digital and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

# What a path says of a tile is for developers; this is for everybody.
_PATHS: Final = {
    "one_step": "one compiled step",
    "whole_maps": "whole feature maps",
    "compiled_patches": "compiled loops over patches",
    "patches": "patches, step by step",
    "rows": "vectors, step by step",
}
_GOOD_SNR_DB: Final = 40.0  # a bar of full length


@dataclass(frozen=True)
class LayerRow:
    """A layer.

    Attributes:
        name: in jobs.
        op: what it computes.
        kind: `analog` or `digital`.
        weight_shape: of its matrix.
        reason: why it is digital.
        tiles: how many; None before a job has described them.
        devices: conductances.
        utilisation: share of the tiles' crosspoints that hold weights.
        snr_db: power of the digital output over that of its error; None where unknown.
        clipped: largest share of ADC outputs of a tile that are clipped.
        dac_clipped: the same of its DAC inputs.
        path: how its product is computed.
        why: what kept it from a faster path.
    """

    name: str
    op: str
    kind: str
    weight_shape: Sequence[int] | None
    reason: str | None
    tiles: int | None = None
    devices: int | None = None
    utilisation: float | None = None
    snr_db: float | None = None
    clipped: float | None = None
    dac_clipped: float | None = None
    path: str | None = None
    why: str | None = None

    @property
    def snr_share(self) -> float:
        """The length of the bar of its signal-to-noise ratio."""
        return min(1.0, max(0.0, (self.snr_db or 0.0) / _GOOD_SNR_DB))


def layer_rows(report: Mapping[str, Any], conversion: Mapping[str, Any] | None = None) -> list[LayerRow]:
    """Return the layers of a model's report, with what a job found about them on tiles."""
    found = {layer["name"]: layer for layer in (conversion or {}).get("layers", [])}
    kept_digital = (conversion or {}).get("digital", {})
    rows = []
    for layer in report.get("layers", []):
        name, kind, reason = layer["name"], layer["kind"], layer.get("reason")
        if kind == "analog" and conversion is not None and name not in found:
            kind, reason = "digital", _said(kept_digital, name) or "the job keeps it digital"
        rows.append(
            LayerRow(
                name=name,
                op=layer["op"],
                kind=kind,
                weight_shape=layer.get("weight_shape"),
                reason=reason,
                **(_on_tiles(found[name]) if name in found else {}),
            )
        )
    return rows


def _said(digital: Any, name: str) -> str | None:
    return str(digital[name]) if isinstance(digital, Mapping) and name in digital else None


def _on_tiles(layer: Mapping[str, Any]) -> dict[str, Any]:
    tiles = layer.get("tiles") or []
    snr = layer.get("snr_db")
    path = layer.get("path")
    slowed = dict.fromkeys(reason for tile in tiles for reason in tile.get("slowed_by") or ())
    return {
        "tiles": len(tiles),
        "devices": layer.get("devices"),
        "utilisation": layer.get("utilisation"),
        "snr_db": math.inf if snr == "inf" else snr,
        "clipped": _largest(tile.get("adc_clipped") for tile in tiles),
        "dac_clipped": _largest(tile.get("dac_clipped") for tile in tiles),
        "path": _PATHS.get(str(path), str(path).replace("_", " ")) if path else None,
        "why": ", ".join(slowed) or None,
    }


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
