"""What one thing costs: a number with its unit, where it was published, and how far it may be off."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from simulator.config.base import NonNegative, Positive, PositiveCount, StrictModel, custom_error, unknown
from simulator.cost import nodes, survey
from simulator.cost.bands import Band

MOST_BITS: Final = 32
EXTRAPOLATED_FACTOR: Final = 3.0
_LEAST: Final = 1e-30  # has a logarithm
Factor = Annotated[float, Field(ge=1, le=1000, strict=True)]
Source = Annotated[str, Field(min_length=3, max_length=1000)]
_PREFIXES: Final = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18}


def _prefixed(unit: str) -> dict[str, float]:
    return {prefix + unit: factor for prefix, factor in _PREFIXES.items()}


class BitsOf(StrEnum):
    """Which converter's bits choose a row of a table."""

    INPUT = "input_bits"
    OUTPUT = "output_bits"


class Outside(StrEnum):
    """What happens where the bits are not in the table."""

    REFUSE = "refuse"
    EXTRAPOLATE = "extrapolate"


class BitsNotPricedError(ValueError):
    """A table has no row for the bits, and its profile says that none is to be made up."""


class Table(StrictModel):
    """A price for each number of bits."""

    by: BitsOf = Field(description="Which converter's bits choose the row.")
    values: dict[Annotated[int, Field(ge=1, le=MOST_BITS)], NonNegative] = Field(
        min_length=1, max_length=MOST_BITS, description="Value by number of bits, in the price's unit."
    )
    outside: Outside = Field(
        default=Outside.REFUSE,
        description="Bits that are not listed: refuse them, or go on as the two nearest rows do, with a "
        "factor of at least 3.",
    )

    def at(self, bits: int) -> tuple[float, bool]:
        """Return the value, and whether it was made up.

        Raises:
            BitsNotPricedError: it is not listed, and may not be made up.
        """
        if bits in self.values:
            return self.values[bits], False
        listed = sorted(self.values)
        if self.outside is Outside.REFUSE:
            told = ", ".join(map(str, listed))
            raise BitsNotPricedError(f"there is no price for {bits} {self.by.value} (there is for {told})")
        if len(listed) == 1:
            return self.values[listed[0]], True
        upper = min(max(bisect_left(listed, bits), 1), len(listed) - 1)
        first, second = listed[upper - 1], listed[upper]
        low, high = (max(self.values[one], _LEAST) for one in (first, second))
        return low * (high / low) ** ((bits - first) / (second - first)), True


class Price(StrictModel):
    """What one thing costs: a number, or one for each number of bits."""

    units: ClassVar[Mapping[str, float]] = {}
    quantity: ClassVar[str] = ""

    value: NonNegative | None = Field(default=None, description="The number, in `unit`; or give `table`.")
    table: Table | None = Field(
        default=None, description="A number for each number of bits, instead of `value`."
    )
    unit: str = Field(description="Unit of the number.")
    node_nm: Positive | None = Field(
        default=None,
        description="Technology that the number is of, in nm. Digital prices of another node than the "
        "profile's are scaled; analog ones are taken as they are. Null: the profile's own.",
    )
    voltage_v: Positive | None = Field(default=None, description="Supply that the number is of, in V.")
    source: Source = Field(description="Where the number was published.")
    factor: Factor = Field(
        description="How far it may be off: low is value / factor, high is value * factor. 1.5 for a "
        "measured chip, 3 for a fit to a survey."
    )

    @field_validator("unit")
    @classmethod
    def _is_known(cls, unit: str) -> str:
        if unit not in cls.units:
            said = unknown(f"unit of {cls.quantity}", unit[:40], cls.units)
            raise custom_error("unknown_unit", said.message, hint=said.hint)
        return unit

    @model_validator(mode="after")
    def _has_one_value(self) -> Self:
        if (self.value is None) == (self.table is None):
            raise custom_error("one_value", "a price has either a `value` or a `table`")
        return self

    def band(self, input_bits: int, output_bits: int) -> tuple[Band, bool]:
        """Return the price in SI units (area in mm2) with its band, and whether its table was left.

        Raises:
            BitsNotPricedError: its table has no row for the bits.
        """
        if self.table is None:
            return Band.of((self.value or 0.0) * self.units[self.unit], self.factor), False
        bits = input_bits if self.table.by is BitsOf.INPUT else output_bits
        value, made_up = self.table.at(bits)
        factor = max(self.factor, EXTRAPOLATED_FACTOR) if made_up else self.factor
        return Band.of(value * self.units[self.unit], factor), made_up


class EnergyPrice(Price):
    """Energy of one thing."""

    units = _prefixed("J")
    quantity = "energy"


class TimePrice(Price):
    """Time of one thing."""

    units = _prefixed("s")
    quantity = "time"


class AreaPrice(Price):
    """Area of one thing."""

    units: ClassVar[Mapping[str, float]] = {"mm2": 1.0, "um2": 1e-6, "nm2": 1e-12}
    quantity = "area"


class PowerPrice(Price):
    """Power that flows whether anything is computed or not."""

    units = _prefixed("W")
    quantity = "power"


class ConductancePrice(Price):
    """Mean conductance of a device."""

    units = _prefixed("S")
    quantity = "conductance"


class SharePrice(Price):
    """A share, such as the mean absolute input."""

    units: ClassVar[Mapping[str, float]] = {"1": 1.0}
    quantity = "a share"


class AdcSurvey(StrictModel):
    """A converter as the survey of published ones has it, at the output bits of the layer."""

    fit: Literal["adc_survey"] = Field(description="Name of the fit; `adc_survey` is the only one.")
    node_nm: Positive = Field(description="Technology of the converter, in nm.")
    samples_per_s: Positive = Field(description="Rate of one converter, in Hz.")
    source: Source = Field(default=survey.SOURCE, description="Where the fit was published.")
    factor: Annotated[Factor, Field(ge=survey.FACTOR)] = Field(
        default=survey.FACTOR, description="How far it may be off, at least 3."
    )

    def energy(self, output_bits: int) -> Band:
        """Return the energy of a conversion, in J."""
        bits = self._converter(output_bits)
        return Band.of(survey.adc_energy_j(bits, self.samples_per_s, self.node_nm), self.factor)

    def area(self, output_bits: int) -> Band:
        """Return the area of a converter, in mm2."""
        bits = self._converter(output_bits)
        return Band.of(survey.adc_area_mm2(bits, self.samples_per_s, self.node_nm), self.factor)

    def _converter(self, bits: int) -> int:
        """Return the bits of the cheapest converter that has enough: the fit turns up again below 5 bits."""
        return min(
            range(bits, MOST_BITS + 1),
            key=lambda more: survey.adc_energy_j(more, self.samples_per_s, self.node_nm),
        )


class Measurable(StrEnum):
    """What a job that has described its layers knows better than a profile."""

    INPUT = "input"
    CONDUCTANCE = "conductance"


class CellReading(StrictModel):
    """Energy of a cell while it is read: V^2 * mean(G) * t * mean|x|."""

    read_voltage_v: Positive = Field(description="Largest read voltage, in V.")
    conductance: ConductancePrice = Field(description="Mean over devices of their conductance.")
    pulse: TimePrice = Field(description="How long the voltage lies on a cell at the largest input.")
    mean_input: SharePrice = Field(
        description="Mean absolute input relative to the largest; or share of input bits that are on."
    )
    devices: PositiveCount = Field(default=1, description="Devices of a cell that are read at once.")
    measured: tuple[Measurable, ...] = Field(
        default=(), description="What a job's own measurement takes the place of, where it has one."
    )

    def energy(self, mean_input: float | None, conductance_s: float | None) -> Band:
        """Return the energy of a cell, in J.

        Args:
            mean_input: measured; None: the profile's.
            conductance_s: measured mean over devices; None: the profile's.
        """
        pulse, _ = self.pulse.band(1, 1)
        conductance, _ = self.conductance.band(1, 1)
        share, _ = self.mean_input.band(1, 1)
        if conductance_s is not None:
            conductance = Band.of(conductance_s, 1.0)
        if mean_input is not None:
            share = Band.of(mean_input, 1.0)
        power = conductance.product(pulse).product(share)
        return power * (self.read_voltage_v**2 * self.devices)

    @property
    def sources(self) -> tuple[str, ...]:
        """Where its numbers were published."""
        return (self.conductance.source, self.pulse.source, self.mean_input.source)


def _kind_of(price: Any) -> str:
    """Return how an energy is priced, by the fields that only this way has."""
    if isinstance(price, AdcSurvey) or (isinstance(price, Mapping) and "fit" in price):
        return "fitted"
    if isinstance(price, CellReading) or (isinstance(price, Mapping) and _CELL_FIELDS & set(price)):
        return "computed"
    return "given"


_CELL_FIELDS: Final = frozenset({"conductance", "pulse", "read_voltage_v", "mean_input"})
AnyEnergy = Annotated[
    Annotated[EnergyPrice, Tag("given")]
    | Annotated[AdcSurvey, Tag("fitted")]
    | Annotated[CellReading, Tag("computed")],
    Discriminator(_kind_of),
]
AnyArea = Annotated[
    Annotated[AreaPrice, Tag("given")] | Annotated[AdcSurvey, Tag("fitted")],
    Discriminator(lambda price: "fitted" if _kind_of(price) == "fitted" else "given"),
]


def kind_of_price(price: Any) -> str:
    """Return how a price is given, so that an override of another kind takes its place as a whole."""
    return _kind_of(price)


def scaled(
    band: Band, price: Price, node_nm: float, voltage_v: float, *, is_area: bool = False
) -> tuple[Band, bool]:
    """Return a digital price at the profile's node, and whether it is of another one.

    Args:
        band: the price.
        price: says of which node and voltage it is.
        node_nm: the profile's.
        voltage_v: the profile's digital supply.
        is_area: an area scales otherwise than an energy.
    """
    if price.node_nm is None or math.isclose(price.node_nm, node_nm):
        return band, False
    if is_area:
        return band * nodes.area_factor(price.node_nm, node_nm), True
    from_v = price.voltage_v or nodes.DEFAULT_VOLTAGE_V
    return band * nodes.energy_factor(price.node_nm, node_nm, from_v=from_v, to_v=voltage_v), True
