"""Configurations of IBM's aihwkit as JSON: its class names, field names, enum values and defaults.

Only fields that differ from aihwkit's defaults need be there. Its defaults are ours, so nearly all of a
configuration is read as it stands; the rest is reported as assumptions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from simulator.config.base import nearest
from simulator.config.converters import ConverterConfig, FusionConductanceConverter
from simulator.config.enums import WeightModifierType
from simulator.config.faults import Fault, pointer_to
from simulator.config.foreign_report import Assumption, Dialect, Imported, ImportRefusedError
from simulator.config.noise_models import ReRamWan2022NoiseModel
from simulator.config.rpu import InferenceRPUConfig

_CPP, _TORCH = "InferenceRPUConfig", "TorchInferenceRPUConfig"
# Sections of in-memory training and of the reference's runtime.
_INERT = frozenset({"runtime", "backward", "update", "device"})
# Constructor arguments for which None is the reference's way to say "the default".
_NONE_IS_DEFAULT = frozenset(
    {
        "g_converter", "g_max", "g_min", "prog_coeff", "prog_coeff_g_max_reference",
        "coeff_dic", "coeff_dict", "coeff_g_max_reference", "decay_dict", "read_dict",
    }
)  # fmt: skip
_ACCEPTANCE_RANGES = (0.2, 2.0)
_DISCRETE = (WeightModifierType.DISCRETIZE, WeightModifierType.DISCRETIZE_ADD_NORMAL)

Condition = Callable[[InferenceRPUConfig, bool], bool]

# Where a field means something else here than in the reference: field, when (given the configuration and
# whether it is for the torch tile), number in docs/quirks.md, what is different.
DEVIATIONS: tuple[tuple[str, Condition, int, str], ...] = (
    (
        "forward.v_offset_std",
        lambda c, _: c.forward.v_offset_std > 0,
        4,
        "an offset is max(0, v_offset_std * N) from one draw; the reference draws twice",
    ),
    (
        "forward.bm_test_negative_bound",
        lambda c, _: not c.forward.bm_test_negative_bound,
        6,
        "negative hits never count; in the reference they also erase positive ones before them",
    ),
    (
        "modifier.type",
        lambda c, torch: c.modifier.type is WeightModifierType.MULT_NORMAL and not torch,
        31,
        "noise is w * std_dev * N; the reference's C++ tile multiplies by the largest weight too",
    ),
    (
        "modifier.res",
        lambda c, torch: c.modifier.type in _DISCRETE and c.modifier.res > 0 and not torch,
        32,
        "the step is 2 * res * wmax, as documented; that of the reference's C++ tile is res * wmax",
    ),
    (
        "modifier.pdrop",
        lambda c, _: c.modifier.type is WeightModifierType.NONE and c.modifier.pdrop > 0,
        34,
        "pdrop acts with every modifier type; the reference ignores it with None",
    ),
    (
        "noise_model",
        lambda c, _: isinstance(c.noise_model, ReRamWan2022NoiseModel) and c.noise_model.coeff_dic is None,
        41,
        "the published polynomials refer to 40 uS; the reference applies them relative to its own g_max",
    ),
    (
        "noise_model.g_converter",
        lambda c, _: isinstance(getattr(c.noise_model, "g_converter", None), FusionConductanceConverter),
        76,
        "an output whose signed conductances are all equal keeps its scale; in the reference it becomes 0",
    ),
    (
        "mapping.digital_bias",
        lambda c, _: not c.mapping.digital_bias and c.pre_post.input_range.enable,
        56,
        "an analog bias is not multiplied by the input range; in the reference it is",
    ),
)


def import_aihwkit(spec: Mapping[str, Any]) -> Imported:
    """Read a configuration of `InferenceRPUConfig` or `TorchInferenceRPUConfig`.

    Args:
        spec: `{"class": ..., <field>: ...}`; noise model, compensation and converters are
            `{"type": class name, **constructor arguments}`, `preset` is a label.

    Raises:
        ImportRefusedError: with every fault.
    """
    reader = _Reader(spec)
    torch_tile = reader.take_class()
    reader.take_label()
    reader.read_noise_model()
    config = reader.validated()
    for field, holds, quirk, message in DEVIATIONS:
        if holds(config, torch_tile):
            reader.assume(field, "deviates", f"{message} (docs/quirks.md, {quirk})")
    return Imported(Dialect.AIHWKIT, config, reader.assumed)


class _Reader:
    """Takes from a copy of the configuration what is not ours, and notes what it took."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._data: dict[str, Any] = copy.deepcopy(dict(spec))
        self._faults: list[Fault] = []
        self.assumed: list[Assumption] = []

    def assume(self, field: str, code: str, message: str) -> None:
        self.assumed.append(Assumption(pointer_to(field), code, message))

    def take_class(self) -> bool:
        """Take the class's name; return whether it is the torch tile's."""
        if "class" not in self._data:
            self.assume("class", "class_assumed", f"no class is named: it is read as {_CPP}")
            return False
        name = self._data.pop("class")
        if name == _TORCH:
            message = (
                "simulated as the reference's C++ tile, per input vector: where its torch tile differs "
                "(bound management per batch, out_noise_std, negative bounds) so do the numbers"
            )
            self.assume("class", "torch_tile", message)
        elif name != _CPP:
            guess = nearest(name, (_CPP, _TORCH)) if isinstance(name, str) else None
            hint = f"did you mean {guess!r}?" if guess else None
            message = f"only {_CPP} and {_TORCH} describe inference"
            self._faults.append(Fault("/class", "unknown_class", message, hint))
        return bool(name == _TORCH)

    def take_label(self) -> None:
        """Take the name of the preset that the configuration was made from."""
        if "preset" not in self._data:
            return
        if isinstance(self._data.pop("preset"), str):
            self.assume("preset", "label_ignored", "preset is a label: the values beside it are what counts")
        else:
            self._faults.append(Fault("/preset", "string_type", "preset is a name"))

    def read_noise_model(self) -> None:
        """Make explicit what the reference's constructors do with their arguments."""
        model = self._data.get("noise_model")
        if not isinstance(model, dict):
            return
        converter = model.get("g_converter")
        for part in (model, converter):
            if isinstance(part, dict):
                for name in _NONE_IS_DEFAULT & {key for key, value in part.items() if value is None}:
                    del part[name]
        if isinstance(converter, dict) and _is_number(model.get("g_max")):
            used = converter.get("g_max", _default_g_max_us(converter))
            if model["g_max"] != used:
                self._leave_out(model, "g_max", "the converter's counts")
        if _is_number(model.get("prog_coeff_g_max_reference")) and "prog_coeff" not in model:
            self._leave_out(model, "prog_coeff_g_max_reference", "the published fit has its own")
        published = model.get("type") == "ReRamCMONoiseModel" and "coeff_dict" not in model
        accepted = model.get("acceptance_range")
        if published and _is_number(accepted) and accepted not in _ACCEPTANCE_RANGES:
            self._leave_out(model, "acceptance_range", "it has data for 0.2 and 2 percent and takes 0.2")

    def validated(self) -> InferenceRPUConfig:
        """Return what is left as a configuration; what only in-memory training has is left out."""
        try:
            config = self._without_inert_values()
        except ValidationError as error:
            raise ImportRefusedError(self._faults, error) from None
        if self._faults:
            raise ImportRefusedError(self._faults)
        return config

    def _without_inert_values(self) -> InferenceRPUConfig:
        try:
            return InferenceRPUConfig.model_validate(self._data)
        except ValidationError as error:
            inert = [
                line
                for line in error.errors(include_url=False)
                if line["type"] == "not_for_inference" and line["loc"][0] in _INERT
            ]
        for line in inert:
            section, name = map(str, line["loc"][:2])
            del self._data[section][name]
            self.assume(f"{section}.{name}", "not_for_inference", f"left out: {line['msg']}")
        return InferenceRPUConfig.model_validate(self._data)

    def _leave_out(self, model: dict[str, Any], name: str, why: str) -> None:
        value = model.pop(name)
        message = f"{name} {value} is left out, the reference ignores it too: {why}"
        self.assume(f"noise_model.{name}", "ignored_argument", message)


def _default_g_max_us(converter: Mapping[str, Any]) -> float:
    """Return the largest conductance of a converter that says none, in uS; ours have the reference's."""
    member = ConverterConfig.members.get(str(converter.get("type")), ConverterConfig)
    return float(member.model_fields["g_max"].default)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
