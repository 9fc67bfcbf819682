"""Configurations of IBM's Analog Hardware Acceleration Kit Composer: bits, scales and three coefficients.

The Composer describes hardware by two small dictionaries, `analog_info` and `noise_model_info`, on top of a
template with fixed values. They may come nested under those names or side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, Strict, ValidationError

from simulator.config.base import NonNegative, Number, PositiveCount, StrictModel, Switch
from simulator.config.compensation import GlobalDriftCompensation
from simulator.config.enums import WeightClipType, WeightModifierType
from simulator.config.faults import Fault
from simulator.config.foreign_report import Assumption, Dialect, Imported, ImportRefusedError
from simulator.config.hwa import WeightClipParameter, WeightModifierParameter
from simulator.config.io import IOParameters
from simulator.config.mapping import MappingParameter
from simulator.config.noise_models import NoiseModelConfig, PCMLikeNoiseModel, StateIndependentNoiseModel
from simulator.config.rpu import InferenceRPUConfig

Bits = Annotated[int, Strict(), Field(ge=2, le=24)]

_G_MAX_US = 25.0
_COEFFICIENTS = ("poly_constant_coef", "poly_first_order_coef", "poly_second_order_coef")
_OF_GENERIC = ("drift_mean", "drift_std")
_OF_JOBS = ("inference_repeats", "inference_time")


class DeviceId(StrEnum):
    """The Composer's two kinds of device."""

    PCM = "pcm"
    GENERIC = "generic"


class Template(StrEnum):
    """The reference's classes whose values the Composer starts from."""

    WEB = "WebComposerInferenceRPUConfig"
    OLD_WEB = "OldWebComposerInferenceRPUConfig"
    PLAIN = "InferenceRPUConfig"


class AnalogInfo(StrictModel):
    """The converters."""

    output_noise_strength: NonNegative = Field(default=0.1, description="Output noise (`out_noise`).")
    adc: Bits = Field(default=9, description="Bits of the ADC.")
    dac: Bits = Field(default=7, description="Bits of the DAC.")


class NoiseModelInfo(StrictModel):
    """The devices."""

    device_id: DeviceId = Field(default=DeviceId.PCM, description="PCM, or state-independent devices.")
    programming_noise_scale: NonNegative = Field(default=1.0, description="Factor on programming noise.")
    read_noise_scale: NonNegative = Field(default=1.0, description="Factor on read noise.")
    drift_scale: NonNegative = Field(default=1.0, description="Factor on drift exponents.")
    drift_compensation: Switch = Field(default=True, description="Global drift compensation, or none.")
    poly_constant_coef: Number | None = Field(default=None, description="Programming noise in uS at g = 0.")
    poly_first_order_coef: Number | None = Field(default=None, description="In uS, times g / g_max.")
    poly_second_order_coef: Number | None = Field(default=None, description="In uS, times (g / g_max)^2.")
    drift_mean: Number = Field(default=0.1, description="Mean drift exponent of generic devices.")
    drift_std: NonNegative = Field(default=0.05, description="Its spread over the devices.")


class ComposerConfig(AnalogInfo, NoiseModelInfo):
    """The Composer's dictionary: both parts side by side, or nested."""

    analog_info: AnalogInfo | None = Field(default=None, description="The converters.")
    noise_model_info: NoiseModelInfo | None = Field(default=None, description="The devices.")
    rpu_config: Template = Field(default=Template.WEB, description="The template it starts from.")
    inference_repeats: PositiveCount | None = Field(default=None, description="The job's `repeats`.")
    inference_time: NonNegative | None = Field(default=None, description="The job's `t_inference`, in s.")


# Names by which a Composer dictionary is known; aihwkit's configurations have drift_compensation too.
MARKS = frozenset(ComposerConfig.model_fields) - {"drift_compensation"}


def import_composer(spec: Mapping[str, Any]) -> Imported:
    """Read a Composer dictionary.

    Raises:
        ImportRefusedError: with every fault.
    """
    try:
        dictionary = ComposerConfig.model_validate(dict(spec))
    except ValidationError as error:
        raise ImportRefusedError([], error) from None
    knobs = _Knobs()
    knobs.add(dictionary, "")
    knobs.add(dictionary.analog_info, "/analog_info")
    knobs.add(dictionary.noise_model_info, "/noise_model_info")
    noise_model = _noise_model(knobs)
    if knobs.faults:
        raise ImportRefusedError(knobs.faults)
    config = _template(dictionary.rpu_config, knobs)
    config.forward.out_noise = knobs.get("output_noise_strength")
    config.forward.out_res = 1.0 / (2 ** knobs.get("adc") - 2)
    config.forward.inp_res = 1.0 / (2 ** knobs.get("dac") - 2)
    config.noise_model = noise_model
    config.drift_compensation = GlobalDriftCompensation() if knobs.get("drift_compensation") else None
    for name in _OF_JOBS:
        if name in knobs.given:
            knobs.assume(name, "belongs_to_job", f"{name} is for a job's evaluate, not for a configuration")
    return Imported(Dialect.COMPOSER, config, knobs.assumed)


@dataclass
class _Knobs:
    """The dictionary's values, wherever they stood, and what was assumed for those that did not."""

    given: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    assumed: list[Assumption] = field(default_factory=list)
    _places: dict[str, str] = field(default_factory=dict)

    def add(self, part: StrictModel | None, prefix: str) -> None:
        """Take the values that are set in a part of the dictionary."""
        if part is None:
            return
        for name in type(part).model_fields:
            if name not in part.model_fields_set or isinstance(getattr(part, name), StrictModel):
                continue
            place = f"{prefix}/{name}"
            if name in self.given:
                message = f"{name} stands at {self._places[name]} too: leave one out"
                self.faults.append(Fault(place, "given_twice", message))
            self.given[name] = getattr(part, name)
            self._places[name] = place

    def get(self, name: str) -> Any:
        """Return a value; the Composer's own default is noted as assumed."""
        if name in self.given:
            return self.given[name]
        default = ComposerConfig.model_fields[name].default
        shown = default.value if isinstance(default, StrEnum) else str(default).lower()
        self.assume(name, "default_assumed", f"no {name} is given: {shown}, the Composer's own")
        return default

    def beside(self, name: str, other: str) -> str:
        """Return where the other name would stand beside this one."""
        return self._places[name].rpartition("/")[0] + f"/{other}"

    def assume(self, name: str, code: str, message: str) -> None:
        self.assumed.append(Assumption(self._places.get(name, f"/{name}"), code, message))


def _noise_model(knobs: _Knobs) -> NoiseModelConfig:
    device = knobs.get("device_id")
    values: dict[str, Any] = {
        "g_max": _G_MAX_US,
        "prog_coeff": _coefficients(knobs),
        "prog_noise_scale": knobs.get("programming_noise_scale"),
        "read_noise_scale": knobs.get("read_noise_scale"),
        "drift_scale": knobs.get("drift_scale"),
    }
    knobs.assume("device_id", "g_max_assumed", f"the Composer's devices have a g_max of {_G_MAX_US:g} uS")
    if device is DeviceId.GENERIC:
        return StateIndependentNoiseModel(
            **values, drift_nu_mean=knobs.get("drift_mean"), drift_nu_std=knobs.get("drift_std")
        )
    for name in _OF_GENERIC:
        if name in knobs.given:
            message = f"{name} is left out: the drift exponents of pcm are the published fit's"
            knobs.assume(name, "ignored_argument", message)
    return PCMLikeNoiseModel(**values)


def _coefficients(knobs: _Knobs) -> tuple[float, ...] | None:
    """Return the programming noise's polynomial, lowest order first; None for the published fit."""
    given = [name for name in _COEFFICIENTS if knobs.given.get(name) is not None]
    if not given:
        message = "no coefficients are given: the programming noise is that of the noise model's own fit"
        knobs.assume("poly_constant_coef", "default_assumed", message)
        return None
    for name in _COEFFICIENTS:
        if name not in given:
            message = f"{name} is missing: give all three coefficients, or none for the published fit"
            knobs.faults.append(Fault(knobs.beside(given[0], name), "missing", message))
    return tuple(knobs.given.get(name) or 0.0 for name in _COEFFICIENTS)


def _template(template: Template, knobs: _Knobs) -> InferenceRPUConfig:
    """Return the values that the Composer gives nobody a knob for."""
    if template is Template.PLAIN:
        return InferenceRPUConfig()
    mapping = MappingParameter(
        weight_scaling_omega=1.0, weight_scaling_columnwise=True, learn_out_scaling=True
    )
    if template is Template.OLD_WEB:
        mapping = MappingParameter(
            digital_bias=False,
            weight_scaling_omega=1.0,
            weight_scaling_columnwise=True,
            max_input_size=0,
            max_output_size=0,
        )
    message = (
        f"the values of {template.value}: ADC range 20, weights scaled to 1 per output, "
        + ("unlimited tiles with an analog bias" if template is Template.OLD_WEB else "tiles of 512 x 512")
        + "; for fine-tuning a modifier AddNormal 0.1 and a clip at 1"
    )
    knobs.assume("rpu_config", "template_assumed", message)
    return InferenceRPUConfig(
        forward=IOParameters(out_bound=20.0),
        mapping=mapping,
        modifier=WeightModifierParameter(type=WeightModifierType.ADD_NORMAL, std_dev=0.1),
        clip=WeightClipParameter(type=WeightClipType.FIXED_VALUE, fixed_value=1.0),
    )
