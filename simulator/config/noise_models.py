"""Noise models: what programming, time and reading do to conductances. Conductances in uS, times in s.

These classes only describe; the physics is registered for them in `simulator.devices`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from simulator.config.base import (
    Fraction,
    NonNegative,
    Number,
    Positive,
    StrictModel,
    TypedConfig,
    custom_error,
)
from simulator.config.converters import ConverterConfig
from simulator.config.enums import DeviceState

__all__ = [
    "CustomDriftPCMLikeNoiseModel",
    "DriftTable",
    "HermesNoiseModel",
    "NoiseModelConfig",
    "PCMLikeNoiseModel",
    "PairNoiseModelConfig",
    "ReRamCMONoiseModel",
    "ReRamWan2022NoiseModel",
    "ReadCoefficients",
    "RelaxationCoefficients",
    "StateIndependentNoiseModel",
]

StateCount = Annotated[int, Field(ge=2, le=1 << 20, strict=True)]
Coefficients = Annotated[tuple[Number, ...], Field(min_length=1, max_length=16)]

DEFAULT_G_MAX_US = 25.0
HERMES_G_MAX_US = {1: 10.35, 2: 20.7}
HERMES_T_0_S = {1: 200.0, 2: 300.0}
WAN_PUBLISHED_TIMES_S = (1.0, 86400.0, 172800.0)
WAN_REFERENCE_US = 40.0
SCALES_WITH_G_MAX = "the noise of this model scales with g_max"


class NoiseModelConfig(TypedConfig):
    """Family of the noise models; see `simulator.devices.BaseNoiseModel` for the physics."""

    family = "noise model"

    device_state: DeviceState = Field(
        default=DeviceState.NET,
        description=(
            "What is kept between programming and a later time: the net weight, converted to conductances "
            "anew (as the reference does), or every device's own conductance."
        ),
    )
    states: StateCount | None = Field(
        default=None,
        description=(
            "Conductances that a device can be programmed to, evenly spaced from g_min to g_max of the "
            "converter; each device takes the nearest, before programming noise. null: any conductance. With "
            "one pair n states make 2 n - 1 weights: 128 states are 8-bit weights."
        ),
    )
    stuck_at_zero: Fraction = Field(
        default=0.0,
        description=(
            "Share of the devices (not of the weights) that stay at the converter's smallest conductance "
            "(g_min, 0 by default), drawn per chip instance; without programming noise, drift and read noise."
        ),
    )
    stuck_at_max: Fraction = Field(
        default=0.0,
        description=(
            "Share of the devices (not of the weights) that stay at the converter's g_max, drawn per chip "
            "instance; without programming noise, drift and read noise."
        ),
    )

    @model_validator(mode="after")
    def _shares_are_of_one_whole(self) -> Self:
        if self.stuck_at_zero + self.stuck_at_max > 1:
            raise custom_error(
                "shares_exceed_one",
                f"stuck_at_zero ({self.stuck_at_zero:g}) and stuck_at_max ({self.stuck_at_max:g}) are shares "
                "of the same devices: together they are 1 at most",
            )
        return self

    @property
    def has_stuck_devices(self) -> bool:
        """Whether some devices of a chip instance are stuck."""
        return self.stuck_at_zero > 0 or self.stuck_at_max > 0

    @property
    def devices_per_weight(self) -> int:
        """Devices that hold one weight; utilisation, device counts and estimates follow it."""
        return 1

    @property
    def measured_times_s(self) -> tuple[float, ...] | None:
        """Times in s that there is data for, rising; None for a law that holds at all times."""
        return None

    @property
    def deviates_from_reference(self) -> str | None:
        """What this model, as it is configured, does else than the reference's; None for nothing."""
        return None

    def why_idle(self, field: str) -> str | None:
        """Return why a field of the model has no effect as the others are; None where it has, or may have."""
        del field
        return None


class PairNoiseModelConfig(NoiseModelConfig):
    """A noise model on the conductances of any converter (by default a single pair)."""

    g_converter: ConverterConfig | None = Field(
        default=None, description="How weights become conductances; null: a single pair with g_max."
    )
    g_max: Positive | None = Field(
        default=DEFAULT_G_MAX_US,
        description="Conductance of the largest weight, in uS; null where g_converter says it.",
    )

    @property
    def default_g_max_us(self) -> float:
        """Conductance of the largest weight, in uS, when nothing was given."""
        return DEFAULT_G_MAX_US

    @model_validator(mode="after")
    def _one_g_max(self) -> Self:
        if "g_max" not in self.model_fields_set:
            self.__dict__["g_max"] = None if self.g_converter else self.default_g_max_us
        if self.g_converter is None and self.g_max is None:
            raise custom_error("g_max_missing", "give g_max, or a g_converter that has one")
        if self.g_converter and self.g_max is not None and self.g_max != self.g_converter.g_max:
            raise custom_error(
                "g_max_conflict",
                f"g_max ({self.g_max:g} uS) contradicts g_converter.g_max ({self.g_converter.g_max:g} uS): "
                "set g_max to null, the converter has it",
            )
        return self

    @property
    def devices_per_weight(self) -> int:
        """As many as the converter has; a pair by default."""
        return 2 if self.g_converter is None else self.g_converter.devices_per_weight

    @property
    def effective_g_max_us(self) -> float:
        """Conductance of the largest weight, in uS, wherever it was given."""
        if self.g_converter is not None:
            return self.g_converter.g_max
        return self.g_max if self.g_max is not None else self.default_g_max_us


class ScaledNoiseModelConfig(PairNoiseModelConfig):
    """A noise model with programming noise, power-law drift and 1/f read noise, each with its scale."""

    prog_coeff: Coefficients | None = Field(
        default=None,
        description=(
            "Programming noise in uS, a polynomial of g / g_max, lowest order first; null: the published fit."
        ),
    )
    t_read: Positive = Field(default=250e-9, description="Duration of a read for the 1/f noise, in s.")
    t_0: Positive = Field(
        default=20.0, description="First reading time of the drift law, in s; t counts from programming."
    )
    prog_noise_scale: NonNegative = Field(default=1.0, description="Factor on the programming noise.")
    read_noise_scale: NonNegative = Field(default=1.0, description="Factor on the read noise.")
    drift_scale: NonNegative = Field(default=1.0, description="Factor on the drift exponents.")


class ReferencedNoiseModelConfig(ScaledNoiseModelConfig):
    """A scaled noise model whose programming coefficients were fitted at a reference g_max.

    Attributes:
        all_noise_is_relative: nothing but programming noise refers to a conductance in uS.
    """

    all_noise_is_relative: ClassVar[bool] = False

    prog_coeff_g_max_reference: Positive | None = Field(
        default=None,
        description=(
            "g_max in uS at which prog_coeff was fitted; the noise scales with g_max over it. "
            "null: that of the published fit, or g_max itself with a given prog_coeff."
        ),
    )

    def why_idle(self, field: str) -> str | None:
        """See the base class."""
        scales = self.prog_coeff is None or self.prog_coeff_g_max_reference is not None
        if field == "g_max" and self.all_noise_is_relative and scales:
            return SCALES_WITH_G_MAX
        return super().why_idle(field)

    @model_validator(mode="after")
    def _reference_has_coefficients(self) -> Self:
        if self.prog_coeff_g_max_reference is not None and self.prog_coeff is None:
            raise custom_error(
                "ignored_argument",
                "prog_coeff_g_max_reference belongs to a given prog_coeff; the published fit has its own",
            )
        return self


class PCMLikeNoiseModel(ReferencedNoiseModelConfig):
    """Phase-change memory (Nandakumar et al., ICECS 2019; Joshi et al., Nat. Commun. 11, 2473, 2020)."""

    all_noise_is_relative: ClassVar[bool] = True

    type: Literal["PCMLikeNoiseModel"] = "PCMLikeNoiseModel"


class DriftTable(StrictModel):
    """Mean and spread of the drift exponent over the conductance, interpolated linearly, held at the ends."""

    g_lst: tuple[NonNegative, ...] = Field(
        min_length=1, max_length=4096, description="Target conductances in uS, rising."
    )
    nu_mean_lst: tuple[Number, ...] = Field(
        min_length=1, max_length=4096, description="Mean drift exponent at each of them (unit-free)."
    )
    nu_std_lst: tuple[NonNegative, ...] = Field(
        min_length=1, max_length=4096, description="Standard deviation of the exponent at each of them."
    )

    @model_validator(mode="after")
    def _lists_fit_together(self) -> Self:
        if not len(self.g_lst) == len(self.nu_mean_lst) == len(self.nu_std_lst):
            raise custom_error(
                "table_length",
                f"g_lst, nu_mean_lst and nu_std_lst need equal lengths, not {len(self.g_lst)}, "
                f"{len(self.nu_mean_lst)} and {len(self.nu_std_lst)}",
            )
        if any(lower >= upper for lower, upper in pairwise(self.g_lst)):
            raise custom_error("not_rising", "g_lst must rise from each value to the next")
        return self


class CustomDriftPCMLikeNoiseModel(ReferencedNoiseModelConfig):
    """Phase-change memory with a drift exponent that was measured over the conductance."""

    type: Literal["CustomDriftPCMLikeNoiseModel"] = "CustomDriftPCMLikeNoiseModel"
    custom_drift_model: DriftTable = Field(description="Drift exponents over the target conductance.")


class HermesNoiseModel(ReferencedNoiseModelConfig):
    """Phase-change memory of the HERMES project chip (Le Gallo et al., Nat. Electron. 2023)."""

    all_noise_is_relative: ClassVar[bool] = True

    type: Literal["HermesNoiseModel"] = "HermesNoiseModel"
    num_devices: Literal[1, 2] = Field(default=2, description="Devices per conductance.")
    g_max: Positive | None = Field(
        default=HERMES_G_MAX_US[2],
        description=(
            "Conductance of the largest weight, in uS; at most, and by default, 10.35 for 1 device and 20.7 "
            "for 2; null where g_converter says it."
        ),
    )
    t_read: Positive = Field(default=512e-9, description="Duration of a read for the 1/f noise, in s.")
    t_0: Positive = Field(
        default=HERMES_T_0_S[2],
        description="First reading time of the drift law, in s; by default 200 for 1 device, 300 for 2.",
    )

    @property
    def default_g_max_us(self) -> float:
        """The largest conductance that was measured with that many devices, in uS."""
        return HERMES_G_MAX_US[self.num_devices]

    @property
    def devices_per_weight(self) -> int:
        """Each conductance of the converter is one device or two."""
        return self.num_devices * super().devices_per_weight

    @model_validator(mode="after")
    def _g_max_was_characterised(self) -> Self:
        if "t_0" not in self.model_fields_set:
            self.__dict__["t_0"] = HERMES_T_0_S[self.num_devices]
        limit = HERMES_G_MAX_US[self.num_devices]
        if self.effective_g_max_us > limit:
            raise custom_error(
                "not_characterised",
                f"g_max ({self.effective_g_max_us:g} uS) is beyond what was measured with "
                f"{self.num_devices} device(s): at most {limit:g} uS",
            )
        return self


class StateIndependentNoiseModel(ScaledNoiseModelConfig):
    """Constant programming noise, drift exponents that do not depend on the state, and 1/f read noise.

    With a given `prog_coeff` the programming noise depends on the conductance; its default is (0.2, 0, 0) uS.
    """

    type: Literal["StateIndependentNoiseModel"] = "StateIndependentNoiseModel"
    drift_nu_mean: Number = Field(default=0.1, description="Mean of the drift exponent (unit-free).")
    drift_nu_std: NonNegative = Field(default=0.05, description="Spread of the drift exponent (unit-free).")


TimedCoefficients = Annotated[
    dict[Annotated[float, Field(gt=0)], Coefficients], Field(min_length=1, max_length=256)
]


class ReRamWan2022NoiseModel(PairNoiseModelConfig):
    """Resistive memory (Wan et al., Nature 608, 2022): the deviation from the target grows with time.

    The polynomial is interpolated linearly in ln t and held constant outside of the measured times.
    """

    type: Literal["ReRamWan2022NoiseModel"] = "ReRamWan2022NoiseModel"
    coeff_dic: TimedCoefficients | None = Field(
        default=None,
        description=(
            "Per time in s: the deviation in uS as a polynomial of g / g_max, lowest order first; "
            "null: the published fit at 1 s, 1 day and 2 days."
        ),
    )
    noise_scale: NonNegative = Field(default=1.0, description="Factor on the deviation.")
    coeff_g_max_reference: Positive | None = Field(
        default=None,
        description=(
            "g_max in uS at which the polynomials were fitted; null: 40 for the published fit, "
            "g_max itself with a given coeff_dic."
        ),
    )

    @property
    def measured_times_s(self) -> tuple[float, ...]:
        """The times of the polynomials."""
        return tuple(sorted(self.coeff_dic or WAN_PUBLISHED_TIMES_S))

    @property
    def deviates_from_reference(self) -> str | None:
        """The published polynomial is scaled to g_max here."""
        published = self.coeff_dic is None and self.coeff_g_max_reference is None
        if not published or self.effective_g_max_us == WAN_REFERENCE_US:
            return None
        return (
            f"the published polynomial of Wan et al. refers to g_max = {WAN_REFERENCE_US:g} uS and is "
            "scaled to yours here; aihwkit 1.2.0 applies it unscaled (quirk 41), so that its noise is "
            "stronger and its accuracy lower, by up to 17 points where we compared"
        )

    def why_idle(self, field: str) -> str | None:
        """See the base class."""
        if field == "device_state":
            return "this model draws the conductances of every time from the targets"
        if field == "g_max" and (self.coeff_dic is None or self.coeff_g_max_reference is not None):
            return SCALES_WITH_G_MAX
        return super().why_idle(field)


class RelaxationCoefficients(StrictModel):
    """Conductance relaxation of CMO/HfOx devices over ln t, in uS."""

    mean: tuple[Number] = Field(default=(-0.08900206,), description="Mean shift per ln(t / 1 s), in uS.")
    std: tuple[Number, Number] = Field(
        default=(0.04201137, 0.41183342),
        description="Spread: slope per ln(t / 1 s), and value at 1 s, in uS.",
    )


class ReadCoefficients(StrictModel):
    """Read noise of CMO/HfOx devices: K * log10(g) * sqrt(ln((t + t_read) / (2 t_read)))."""

    K: NonNegative = Field(default=0.0277316483, description="Read noise in uS per decade of conductance.")
    t_read: Positive = Field(default=1e-6, description="Duration of a read, in s.")


class ReRamCMONoiseModel(NoiseModelConfig):
    """Analog CMO/HfOx resistive memory, one device per weight (Falcone et al.; values of aihwkit 1.2.0)."""

    type: Literal["ReRamCMONoiseModel"] = "ReRamCMONoiseModel"
    coeff_dict: (
        Annotated[dict[Annotated[float, Field(gt=0)], tuple[Number, Number]], Field(min_length=1)] | None
    ) = Field(
        default=None,
        description=(
            "Per acceptance range in percent: programming noise (c0, c1) in uS, c0 + c1 g; null: 0.2 and 2 %."
        ),
    )
    g_max: Positive = Field(default=88.199997, description="Conductance of the largest weight, in uS.")
    g_min: Positive = Field(default=9.0, description="Conductance of the smallest weight, in uS.")
    prog_noise_scale: NonNegative = Field(default=1.0, description="Factor on the programming noise.")
    read_noise_scale: NonNegative = Field(default=1.0, description="Factor on the read noise.")
    drift_scale: NonNegative = Field(default=1.0, description="Factor on relaxation shift and spread.")
    decay_dict: RelaxationCoefficients = Field(
        default_factory=RelaxationCoefficients, description="Relaxation over time."
    )
    read_dict: ReadCoefficients = Field(default_factory=ReadCoefficients, description="Read noise.")
    acceptance_range: Positive = Field(
        default=0.2, description="Accepted deviation when programming, in percent of the target: 0.2 or 2."
    )

    @model_validator(mode="after")
    def _values_fit_together(self) -> Self:
        if self.g_min >= self.g_max:
            raise custom_error(
                "empty_range", f"g_min ({self.g_min:g} uS) must be less than g_max ({self.g_max:g} uS)"
            )
        known = sorted(self.coeff_dict or (0.2, 2.0))
        if self.acceptance_range not in known:
            raise custom_error(
                "unknown_acceptance_range",
                f"acceptance_range {self.acceptance_range:g} has no coefficients; in percent, "
                f"one of {', '.join(f'{value:g}' for value in known)}",
            )
        return self
