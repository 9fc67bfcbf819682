"""Prices of one thing, for a layer: looked up, fitted or computed, scaled, and noted with their sources."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator.cost.bands import Band
from simulator.cost.counting import Bits
from simulator.cost.prices import AdcSurvey, CellReading, EnergyPrice, Measurable, Price, scaled
from simulator.cost.profile import AreaCharge, EnergyCharge, HardwareProfile, PowerCharge
from simulator.cost.results import Activity


@dataclass
class Notes:
    """What is said about an estimate, each once, in order.

    Attributes:
        assumptions: what had to be assumed.
        sources: where the prices in use were published.
    """

    assumptions: dict[str, None] = field(default_factory=dict)
    sources: dict[str, None] = field(default_factory=dict)

    def assume(self, sentence: str) -> None:
        """Note an assumption."""
        self.assumptions[sentence] = None

    def cite(self, source: str) -> None:
        """Note a source."""
        self.sources[source] = None


class Prices:
    """The prices of a profile.

    Args:
        profile: whose.
        activity: what a job measured, by layer; where the profile uses it, it takes the place of its own.
        notes: where assumptions and sources are noted.
    """

    def __init__(self, profile: HardwareProfile, activity: Mapping[str, Activity], notes: Notes) -> None:
        self._profile = profile
        self._activity = activity
        self._notes = notes
        self._known: dict[tuple[str, Bits], Band] = {}  # of layers with the same bits, a price is the same

    def energy(self, name: str, charge: EnergyCharge, bits: Bits, layer: str) -> Band:
        """Return the energy of one of what a charge is for, in J.

        Raises:
            BitsNotPricedError: a table has no row for the bits.
        """
        if isinstance(charge.price, CellReading):
            return self._cell(name, charge.price, layer)
        band = self._known.get((name, bits))
        if band is None:
            band = self._known[name, bits] = self._given(name, charge, charge.price, bits)
        return band

    def _given(self, name: str, charge: EnergyCharge, price: EnergyPrice | AdcSurvey, bits: Bits) -> Band:
        self._notes.cite(price.source)
        if isinstance(price, AdcSurvey):
            return price.energy(bits.output_bits)
        band, is_made_up = price.band(bits.input_bits, bits.output_bits)
        if is_made_up:
            self._notes.assume(f"the table of {name} does not have all bits in use; it was extrapolated")
        if charge.is_analog:
            self._note_other_node(name, price.node_nm)
            return band
        return self._at_the_node(band, price)

    def time(self, name: str, input_bits: int, output_bits: int) -> Band:
        """Return how long one of what takes a time takes, in s."""
        price = self._profile.time[name].price
        self._notes.cite(price.source)
        band, _ = price.band(input_bits, output_bits)
        return band

    def area(self, name: str, charge: AreaCharge, input_bits: int, output_bits: int) -> Band:
        """Return the area of one of what takes an area, in mm2."""
        price = charge.price
        self._notes.cite(price.source)
        if isinstance(price, AdcSurvey):
            return price.area(output_bits)
        band, _ = price.band(input_bits, output_bits)
        if charge.analog:
            self._note_other_node(name, price.node_nm)
            return band
        return self._at_the_node(band, price, is_area=True)

    def power(self, charge: PowerCharge) -> Band:
        """Return the power of one of what always draws it, in W."""
        self._notes.cite(charge.price.source)
        band, _ = charge.price.band(1, 1)
        return band

    def device(self) -> Band | None:
        """Return the energy of programming one device, in J; None where it is not priced."""
        if self._profile.programming is None:
            return None
        price = self._profile.programming.device
        self._notes.cite(price.source)
        band, _ = price.band(1, 1)
        return band

    def _note_other_node(self, name: str, node_nm: float | None) -> None:
        wanted_nm = self._profile.node_nm
        if node_nm is not None and not math.isclose(node_nm, wanted_nm):
            self._notes.assume(
                f"{name} is priced at {node_nm:g} nm; analog parts are not scaled to {wanted_nm:g} nm"
            )

    def _at_the_node(self, band: Band, price: Price, *, is_area: bool = False) -> Band:
        profile = self._profile
        band, is_scaled = scaled(band, price, profile.node_nm, profile.voltage_v, is_area=is_area)
        if is_scaled:
            self._notes.assume(
                f"digital prices at {price.node_nm:g} nm are scaled to {profile.node_nm:g} nm "
                "(Stillmaker and Baas 2017)"
            )
        return band

    def _cell(self, name: str, price: CellReading, layer: str) -> Band:
        found = self._activity.get(layer, Activity())
        mean_input = found.mean_input if Measurable.INPUT in price.measured else None
        conductance = found.conductance_s if Measurable.CONDUCTANCE in price.measured else None
        self._notes.cite(price.pulse.source)
        for which, value, given in (
            ("mean input", mean_input, price.mean_input),
            ("conductance", conductance, price.conductance),
        ):
            if value is not None:
                self._notes.assume(f"the {which} of {name} is the job's own, measured layer by layer")
                continue
            self._notes.cite(given.source)
            unit = "" if given.unit == "1" else f" {given.unit}"
            self._notes.assume(f"the {which} of {name} is the profile's: {given.value:g}{unit}")
        return price.energy(mean_input, conductance)
