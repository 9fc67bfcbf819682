"""A noise model from one's own measurements: curves over the conductance, given as tables or polynomials."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulator.config.base import NonNegative, Number, Positive, StrictModel, TypedConfig, custom_error
from simulator.config.noise_models import PairNoiseModelConfig

__all__ = [
    "ConductanceUnit",
    "CurveConfig",
    "Interpolation",
    "MeasuredDrift",
    "MeasuredNoiseModel",
    "MeasuredRead",
    "PolynomialCurve",
    "PolynomialVariable",
    "ReadTimeLaw",
    "TableCurve",
    "TimedCurve",
]


class ConductanceUnit(StrEnum):
    """Unit of a conductance: microsiemens, or relative to the converter's g_max."""

    MICROSIEMENS = "uS"
    RELATIVE = "relative"


class Interpolation(StrEnum):
    """How a table is read between its points; outside it is held constant."""

    LINEAR = "linear"
    LOG_G = "log_g"
    LOG_LOG = "log_log"


class PolynomialVariable(StrEnum):
    """What a polynomial is a polynomial of."""

    G = "g"
    LN_G = "ln_g"


class CurveConfig(TypedConfig):
    """Family of the curves of a quantity over the conductance."""

    family = "curve"

    g_unit: ConductanceUnit = Field(
        default=ConductanceUnit.MICROSIEMENS,
        description="Unit of the conductances: uS, or relative to g_max.",
    )
    value_unit: ConductanceUnit = Field(
        default=ConductanceUnit.MICROSIEMENS,
        description="Unit of a value that is a conductance: uS, or relative to g_max.",
    )


class TableCurve(CurveConfig):
    """Values at given conductances."""

    type: Literal["table"] = "table"
    g: tuple[NonNegative, ...] = Field(
        min_length=1, max_length=4096, description="Conductances in g_unit, rising."
    )
    value: tuple[Number, ...] = Field(min_length=1, max_length=4096, description="The value at each of them.")
    interpolation: Interpolation = Field(
        default=Interpolation.LINEAR,
        description="Between the points linear in g, linear in ln g, or a power law.",
    )

    @model_validator(mode="after")
    def _table_can_be_read(self) -> Self:
        if len(self.g) != len(self.value):
            raise custom_error(
                "table_length", f"g and value need equal lengths, not {len(self.g)} and {len(self.value)}"
            )
        if any(lower >= upper for lower, upper in pairwise(self.g)):
            raise custom_error("not_rising", "g must rise from each value to the next")
        if self.interpolation is not Interpolation.LINEAR and self.g[0] <= 0:
            raise custom_error("not_positive", f"{self.interpolation.value} interpolation needs g > 0")
        if self.interpolation is Interpolation.LOG_LOG and min(self.value) <= 0:
            raise custom_error("not_positive", "log_log interpolation needs values > 0")
        return self


class PolynomialCurve(CurveConfig):
    """A polynomial of g or ln g, clipped to a range."""

    type: Literal["polynomial"] = "polynomial"
    coefficients: tuple[Number, ...] = Field(
        min_length=1, max_length=16, description="Coefficients, lowest order first, in the value's unit."
    )
    variable: PolynomialVariable = Field(
        default=PolynomialVariable.G,
        description="The variable, g or ln g in g_unit; ln g is floored at g = 1e-7 g_max.",
    )
    minimum: Number | None = Field(default=None, description="Lower clip of the value; null: none.")
    maximum: Number | None = Field(default=None, description="Upper clip of the value; null: none.")

    @model_validator(mode="after")
    def _clip_is_not_empty(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise custom_error("empty_range", "minimum must not exceed maximum")
        return self


class TimedCurve(StrictModel):
    """A curve measured at one time after programming."""

    t: Positive = Field(description="Time after programming, in s.")
    curve: CurveConfig = Field(description="The curve at that time.")


CurveOverTime = CurveConfig | Annotated[tuple[TimedCurve, ...], Field(min_length=1, max_length=256)]


def _times_rise(name: str, curve: CurveConfig | tuple[TimedCurve, ...]) -> None:
    if isinstance(curve, tuple) and any(a.t >= b.t for a, b in pairwise(curve)):
        raise custom_error("not_rising", f"the times of {name} must rise from each curve to the next")


class MeasuredDrift(StrictModel):
    """Power-law drift g_P ((t + t_0) / t_0)^-nu with nu = |mean + std * N(0,1)|, drawn once per device.

    Curves given per time are interpolated linearly in ln t, held constant outside; a device keeps its draw.
    """

    nu_mean: CurveOverTime = Field(description="Mean drift exponent over the target conductance (unit-free).")
    nu_std: CurveOverTime = Field(
        description="Spread of the exponent over the target conductance (unit-free)."
    )
    t_0: Positive = Field(default=20.0, description="First reading time of the drift law, in s.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _times_rise("nu_mean", self.nu_mean)
        _times_rise("nu_std", self.nu_std)
        return self


class ReadTimeLaw(StrEnum):
    """How read noise grows: with the integrated 1/f spectrum, or as the curves say by themselves."""

    ONE_OVER_F = "one_over_f"
    AS_GIVEN = "as_given"


class MeasuredRead(StrictModel):
    """Read noise of spread Q(g_P) g_D, for 1/f times sqrt(ln((t + t_0 + t_read) / (2 t_read)))."""

    q: CurveOverTime = Field(
        description="Relative read noise over the programmed conductance (unit-free), also per time."
    )
    time_law: ReadTimeLaw = Field(
        default=ReadTimeLaw.ONE_OVER_F, description="Growth with time besides that of the curves."
    )
    t_read: Positive = Field(default=250e-9, description="Duration of a read for the 1/f noise, in s.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _times_rise("q", self.q)
        return self


class MeasuredNoiseModel(PairNoiseModelConfig):
    """A device described by its own measured curves; leave out what the device does not do."""

    type: Literal["MeasuredNoiseModel"] = "MeasuredNoiseModel"
    programming: CurveConfig | None = Field(
        default=None,
        description="Standard deviation of the programming noise over the target, in value_unit.",
    )
    drift: MeasuredDrift | None = Field(default=None, description="Conductance drift; null: none.")
    read: MeasuredRead | None = Field(default=None, description="Read noise; null: none.")
    prog_noise_scale: NonNegative = Field(default=1.0, description="Factor on the programming noise.")
    read_noise_scale: NonNegative = Field(default=1.0, description="Factor on the read noise.")
    drift_scale: NonNegative = Field(default=1.0, description="Factor on the drift exponents.")

    def why_idle(self, field: str) -> str | None:
        """A part that is left out leaves its scale nothing to scale."""
        parts = {"prog_noise_scale": "programming", "drift_scale": "drift", "read_noise_scale": "read"}
        part = parts.get(field)
        if part is not None and getattr(self, part) is None:
            return f"noise_model.{part} is left out"
        return super().why_idle(field)
