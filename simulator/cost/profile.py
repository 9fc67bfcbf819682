"""A hardware profile: what an array of a chip costs, as data. Strict like the RPU configuration."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from simulator.config.base import Positive, PositiveCount, StrictModel, Switch, custom_error
from simulator.config.enums import AnalogMVType
from simulator.config.rpu import SCHEMA_DIALECT
from simulator.cost.counting import (
    OF_ARRAYS,
    PASSES,
    Bits,
    Each,
    EachPlace,
    EachSource,
    EachTime,
    Times,
)
from simulator.cost.nodes import DEFAULT_VOLTAGE_V, LARGEST_NM, SMALLEST_NM
from simulator.cost.prices import (
    MOST_BITS,
    AnyArea,
    AnyEnergy,
    CellReading,
    EnergyPrice,
    PowerPrice,
    TimePrice,
)

MOST_CHARGES = 40
ComponentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
BitCount = Annotated[PositiveCount, Field(le=MOST_BITS)]
_ANALOG = "Whether it is analog; prices of digital parts are scaled to the profile's node."


class Array(StrictModel):
    """The arrays of the chip."""

    rows: PositiveCount = Field(description="Rows of cells of an array, where inputs arrive.")
    columns: PositiveCount = Field(description="Columns of cells, where outputs leave.")
    rows_per_weight: PositiveCount = Field(default=1, description="Rows that hold one weight.")
    columns_per_weight: PositiveCount = Field(default=1, description="Columns that hold one weight.")
    arrays: PositiveCount = Field(
        default=1, description="Arrays of the chip, which work at once; for its peak."
    )

    @property
    def inputs(self) -> int:
        """Inputs of the weight matrix that an array holds."""
        return self.rows // self.rows_per_weight

    @property
    def outputs(self) -> int:
        """Outputs of the weight matrix that an array holds."""
        return self.columns // self.columns_per_weight

    @model_validator(mode="after")
    def _holds_a_weight(self) -> Self:
        if not self.inputs or not self.outputs:
            raise custom_error("no_weight_fits", "a weight needs more rows or columns than an array has")
        return self


class Converters(StrictModel):
    """Bits of the converters where the RPU configuration has them off."""

    input_bits: BitCount = Field(default=8, description="Bits of an input where its converter is off.")
    output_bits: BitCount = Field(default=8, description="Bits of an output where its converter is off.")


class Schedule(StrictModel):
    """In which order the arrays work."""

    passes: dict[AnalogMVType, PositiveCount] = Field(
        default_factory=dict,
        description="Passes for one product by `mv_type`, where other than usual (1, or 2).",
    )
    one_phase_up_to_bits: BitCount | None = Field(
        default=None,
        description="Magnitude bits of an input that go in one phase; longer ones are cut into two phases. "
        "Null: never cut.",
    )
    columns_per_converter: PositiveCount = Field(
        default=1, description="Columns that share an output converter, one after the other."
    )
    array_rows_at_once: PositiveCount | None = Field(
        default=None, description="Rows of a layer's arrays that work at once; null: all."
    )
    copies: PositiveCount = Field(
        default=1, description="Copies of each layer, at most its products; they share the products."
    )
    pipelined: Switch = Field(
        default=False, description="Whether the next inference starts while the one before goes on."
    )
    link_hops: Annotated[int, Field(ge=0, le=1000, strict=True)] = Field(
        default=1, description="Links that each output of an analog layer travels over."
    )
    activation_bits: BitCount = Field(
        default=8, description="Bits of a number that digital layers read and write."
    )


class EnergyCharge(StrictModel):
    """An energy, and what it is due for: price x `each` x `times`, for every product."""

    price: AnyEnergy = Field(description="What one of them costs.")
    each: Each = Field(description="Of what it is the price.")
    times: Times = Field(default=Times.PRODUCT, description="How often it falls due in one product.")
    analog: Switch = Field(default=True, description=_ANALOG)

    @model_validator(mode="after")
    def _is_counted(self) -> Self:
        if self.each not in OF_ARRAYS and self.times is not Times.PRODUCT:
            message = f"a price of each {self.each.value} falls due once: times is 'product'"
            raise custom_error("times_of_digital", message)
        return self

    @property
    def is_analog(self) -> bool:
        """Whether it is of an analog part."""
        return self.analog and self.each in OF_ARRAYS


class TimeCharge(StrictModel):
    """A time, and what takes it."""

    price: TimePrice = Field(description="How long one of them takes.")
    each: EachTime = Field(default=EachTime.PRODUCT, description="Of what it is the time.")
    times: Times = Field(default=Times.PRODUCT, description="How often it is taken in one product.")

    @model_validator(mode="after")
    def _is_counted(self) -> Self:
        if self.each in (EachTime.MAC, EachTime.OPERATION) and self.times is not Times.PRODUCT:
            message = f"a time of each {self.each.value} is taken once: times is 'product'"
            raise custom_error("times_of_digital", message)
        return self


class AreaCharge(StrictModel):
    """An area, and what takes it."""

    price: AnyArea = Field(description="How much one of them takes.")
    each: EachPlace = Field(default=EachPlace.ARRAY, description="Of what it is the area.")
    analog: Switch = Field(default=True, description=_ANALOG)


class PowerCharge(StrictModel):
    """A power that flows whether anything is computed or not."""

    price: PowerPrice = Field(description="How much one of them draws.")
    each: EachSource = Field(default=EachSource.CHIP, description="Of what it is the power.")


class Programming(StrictModel):
    """What writing weights costs."""

    device: EnergyPrice = Field(description="Energy to program one device, all its pulses and reads.")


class HardwareProfile(StrictModel):
    """What the arrays of a chip cost, each price with its source."""

    name: Annotated[str, Field(min_length=1, max_length=100)] = Field(description="Name of the profile.")
    description: Annotated[str, Field(max_length=2000)] = Field(default="", description="What it follows.")
    node_nm: Annotated[Positive, Field(ge=SMALLEST_NM, le=LARGEST_NM)] = Field(
        description="Technology of the chip, in nm; digital prices are scaled to it."
    )
    voltage_v: Positive = Field(
        default=DEFAULT_VOLTAGE_V, description="Supply of the digital part, in V, to which prices are scaled."
    )
    array: Array = Field(description="Size and number of the arrays that hold the weights.")
    converters: Converters = Field(default_factory=Converters, description="Bits where none are configured.")
    schedule: Schedule = Field(default_factory=Schedule, description="What is at once, and what in turn.")
    energy: dict[ComponentName, EnergyCharge] = Field(
        min_length=1, max_length=MOST_CHARGES, description="Energies by component."
    )
    time: dict[ComponentName, TimeCharge] = Field(
        min_length=1, max_length=MOST_CHARGES, description="Times by component; they add up."
    )
    area: dict[ComponentName, AreaCharge] = Field(
        default_factory=dict, max_length=MOST_CHARGES, description="Areas by component."
    )
    static_power: dict[ComponentName, PowerCharge] = Field(
        default_factory=dict, max_length=MOST_CHARGES, description="Powers that always flow, by component."
    )
    programming: Programming | None = Field(
        default=None, description="What writing weights costs; null: not known."
    )

    @model_validator(mode="after")
    def _components_are_apart(self) -> Self:
        twice = sorted(set(self.energy) & set(self.static_power))
        if twice:
            raise custom_error(
                "repeated_name", f"an energy and a static power have one name: {', '.join(twice)}"
            )
        return self

    @property
    def uses_measurements(self) -> bool:
        """Whether what a job measures takes the place of some of its numbers."""
        prices = (charge.price for charge in self.energy.values())
        return any(isinstance(price, CellReading) and bool(price.measured) for price in prices)

    def bits(self, input_bits: int, output_bits: int, mv_type: AnalogMVType) -> Bits:
        """Return what decides how often prices fall due for a layer."""
        return Bits(
            input_bits=input_bits,
            output_bits=output_bits,
            passes=self.schedule.passes.get(mv_type, PASSES.get(mv_type, 1)),
            one_phase_up_to_bits=self.schedule.one_phase_up_to_bits,
        )


def profile_schema() -> dict[str, Any]:
    """Return the profile's JSON Schema (draft 2020-12)."""
    return {"$schema": SCHEMA_DIALECT, **HardwareProfile.model_json_schema()}
