"""What an inference costs: estimates, each with its band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.extras import need
from driftline.quantities import band
from driftline.resources.record import Record

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Band = dict[str, float]


class Profile(Record):
    """A hardware profile that ships."""

    name: str
    description: str
    node_nm: float
    peak: dict[str, Any]
    sources: list[str]
    effective: dict[str, Any]


class CheckedProfile(Record):
    """A hardware profile that can be used, as the service understands it."""

    effective: dict[str, Any]
    peak: dict[str, Any] | None


class Cost(Record):
    """What one inference costs; a band is `low`, `nominal` and `high`."""

    job: str | None
    profile: str
    energy_j: Band
    analog_j: Band
    digital_j: Band
    static_j: Band
    latency_s: Band
    interval_s: Band
    area_mm2: Band | None
    tops: Band
    tops_per_w: Band
    energy_delay_js: Band
    macs: int
    tiles: int
    tile_operations: int
    utilisation: float | None
    maintenance: list[dict[str, Any]]
    components: dict[str, Band]
    layers: list[dict[str, Any]]
    assumptions: list[str]
    sources: list[str]
    warnings: list[dict[str, Any]]

    def __str__(self) -> str:
        """Return energy, latency and profile in words."""
        energy, latency = band(self["energy_j"], "J"), band(self["latency_s"], "s")
        return f"{energy} and {latency} an inference, by {self['profile']}"

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with a row per layer and component, energies in J."""
        rows = [
            {
                "layer": layer["name"],
                "op": layer["op"],
                "kind": layer["kind"],
                "component": component,
                "energy_j_low": energy["low"],
                "energy_j": energy["nominal"],
                "energy_j_high": energy["high"],
            }
            for layer in self["layers"]
            for component, energy in layer["components"].items()
        ]
        return need("pandas", "tables").DataFrame(rows)

    def plot(self, *, title: str = "") -> Figure:
        """Return a picture of the energy by layer and by component.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        need("matplotlib", "pictures")
        from driftline import plots

        return plots.cost(self, title=title)

    def _told(self) -> list[str]:
        return [str(self)]


class TaggedCosts(Record):
    """The jobs of a tag by what an inference costs and by how well they do; `["items"]` are the jobs."""

    tag: str
    metric: str | None
    left_out: int

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with a row per job."""
        rows = []
        for one in self["items"]:
            energy, latency = one["energy_j"], one["latency_s"]
            rest = {name: one[name] for name in ("job", "name", "profile", "variant", "t_inference", "mean")}
            ends = {f"energy_j_{end}": energy[end] for end in ("low", "nominal", "high")}
            ends |= {f"latency_s_{end}": latency[end] for end in ("low", "nominal", "high")}
            rows.append({**rest, **ends})
        return need("pandas", "tables").DataFrame(rows)

    def plot(self, *, title: str = "") -> Figure:
        """Return a picture of accuracy against energy.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        need("matplotlib", "pictures")
        from driftline import plots

        return plots.accuracy_against_energy(self["items"], self["metric"] or "accuracy", title=title)

    def _told(self) -> list[str]:
        return [f"of {self['tag']!r}:", f"{len(self['items'])} jobs"]
