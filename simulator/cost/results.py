"""What is found about a network on a chip: cost by layer and component, each with its band."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.cost.bands import Band
from simulator.cost.profile import HardwareProfile


@dataclass(frozen=True)
class Activity:
    """What a job measured in one layer.

    Attributes:
        mean_input: mean absolute input relative to the converter's bound; None where unknown.
        conductance_s: mean over devices, in S; None where unknown.
    """

    mean_input: float | None = None
    conductance_s: float | None = None


@dataclass(frozen=True)
class LayerCost:
    """What a layer costs in one inference.

    Attributes:
        name: of the layer, or of the operator.
        op: what it computes.
        kind: `analog` or `digital`.
        nodes: of the file that it stands for.
        products: matrix-vector products; 0 of a digital layer.
        tiles: that it lies on.
        tile_operations: products times tiles.
        utilisation: share of the arrays' weights that it uses; None of a digital layer.
        macs: multiply-accumulates.
        energy: by component, in J.
        latency: in s.
    """

    name: str
    op: str
    kind: str
    nodes: int
    products: int
    tiles: int
    tile_operations: int
    utilisation: float | None
    macs: int
    energy: Mapping[str, Band]
    latency: Band

    @property
    def energy_j(self) -> Band:
        """All of its energy, in J."""
        return Band.total(self.energy.values())


@dataclass(frozen=True)
class Estimate:
    """What an inference costs.

    Attributes:
        profile: priced by it.
        layers: each with its components.
        latency_s: of one inference.
        interval_s: between inferences.
        area_mm2: of the arrays in use and of what belongs to them; None where the profile prices none.
        area_parts: by component, in mm2.
        analog: names of the components that are analog.
        macs: multiply-accumulates of an inference, analog and digital.
        maintenance: energy of what is done to the chip now and then, by what is done, in J.
        assumptions: what had to be assumed.
        sources: where the prices in use were published.
    """

    profile: HardwareProfile
    layers: list[LayerCost]
    latency_s: Band
    interval_s: Band
    area_mm2: Band | None
    area_parts: Mapping[str, Band]
    analog: frozenset[str]
    macs: int
    maintenance: Mapping[str, Band]
    assumptions: list[str]
    sources: list[str]

    @property
    def components(self) -> dict[str, Band]:
        """Energy by component over all layers, in J."""
        names = dict.fromkeys(name for layer in self.layers for name in layer.energy)
        return {
            name: Band.total(layer.energy[name] for layer in self.layers if name in layer.energy)
            for name in names
        }

    @property
    def energy_j(self) -> Band:
        """All energy of an inference, in J."""
        return Band.total(layer.energy_j for layer in self.layers)

    @property
    def tops(self) -> Band:
        """Operations a second in 1e12, two for a multiply-accumulate."""
        return self.interval_s.inverse_of(2e-12 * self.macs)

    @property
    def tops_per_w(self) -> Band:
        """Operations a joule in 1e12."""
        return self.energy_j.inverse_of(2e-12 * self.macs)

    @property
    def energy_delay_js(self) -> Band:
        """Energy times latency, in J s."""
        return self.energy_j.product(self.latency_s)
