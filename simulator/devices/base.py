"""What converters, noise models and drift compensations are, and how users add their own.

Shapes: W_OI is a tile's weight matrix [out, in]; every conductance has the same shape. Conductances are in
uS, times in s, counted from the end of programming. Randomness comes from the generators passed in.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from simulator.config import ConverterConfig, DeviceState, DriftCompensationConfig, NoiseModelConfig
from simulator.devices.registry import Registry
from simulator.devices.states import cells_with_stuck, draw_stuck, nearest_level, with_stuck

# Below this, a tile's weights count as zero: the scale to conductances stays finite.
SMALLEST_WEIGHT = 1e-7
SMALLEST_READOUT = 1e-4

Params = dict[str, Any]


@dataclass(frozen=True)
class LinearForm:
    """How a converter's weights follow from conductances: (sum of factors * g - offset) / us_per_weight.

    Attributes:
        factors: of the devices of a cell, in the order of their conductances.
        us_per_weight: uS per unit of weight, above 0.
        offset_us: what is taken off the sum, in uS.
    """

    factors: tuple[float, ...]
    us_per_weight: float
    offset_us: float = 0.0


class BaseConductanceConverter(ABC):
    """Maps the weights of a tile to the conductances of its devices and back.

    Attributes:
        g_max: largest conductance of a device, in uS.
        g_min: smallest conductance of a device, in uS.
    """

    def __init__(self, config: ConverterConfig) -> None:
        self.g_max = config.g_max
        self.g_min = config.g_min

    @abstractmethod
    def convert_to_conductances(self, weights_OI: Tensor) -> tuple[list[Tensor], Params]:
        """Return the conductances, one tensor [out, in] in uS per device of a cell, and what undoes it."""

    @abstractmethod
    def convert_back_to_weights(self, conductances_us: list[Tensor], params: Params) -> Tensor:
        """Return the weights [out, in] of conductances, with the parameters of the conversion."""

    def linear_form(self, params: Params) -> LinearForm | None:  # noqa: ARG002 - a user's may have none
        """Return the conversion back to weights as numbers; None where it is not linear, or not told."""
        return None

    def scale_of_lone_devices(self, weights_OI: Tensor) -> Tensor | None:  # noqa: ARG002 - most have none
        """Return uS per unit of weight where one device of a cell has |w| for conductance and the other none.

        Returns:
            The scale, `[]`; None where that is not so. Positive weights are on the first device.
        """
        return None


@dataclass(frozen=True)
class LoneDevices:
    """The devices of a programming of which each stands for a cell, `[out, in]`.

    Attributes:
        g_us: their conductances, |w| times the scale.
        state: what they keep over time.
        scale: uS per unit of weight, `[]`.
    """

    g_us: Tensor
    state: Tensor | None
    scale: Tensor


@dataclass(frozen=True)
class ProgrammedWeights:
    """One programming of one tile: what is read now, and what time will act on.

    Attributes:
        weights_OI: the weights as programmed, in units of the targets.
        conductances_us: the devices that time acts on, one tensor per device of a cell; None in the net
            state, where the programmed weights are converted anew.
        params: the converter's parameters of these conductances; None in the net state.
        states: what was drawn for good with the programming (drift exponents), one per device of a cell.
        lone: the conducting device of each cell in the net state, where the other one never will conduct, so
            that half of the work is enough; None otherwise.
        stuck_us: what stuck devices are stuck at, NaN for the others, one tensor per device of a cell; None
            where no device is stuck.
        healthy: what time does to the cells without a stuck device in the net state, where some cells have
            one: those keep every device's own conductance, since a stuck device is none of a net weight.
    """

    weights_OI: Tensor  # noqa: N815 - the suffix names the axes
    conductances_us: tuple[Tensor, ...] | None
    params: Params | None
    states: tuple[Tensor | None, ...]
    lone: LoneDevices | None = None
    stuck_us: tuple[Tensor, ...] | None = None
    healthy: ProgrammedWeights | None = None


class BaseNoiseModel(ABC):
    """What programming, time and reading do to the conductances of a tile.

    A user's model implements the three `*_conductance` and `draw_state` methods on one device per cell and is
    registered for its configuration class with `register_noise_model`.

    Attributes:
        drifts_from_target: whether time acts on the target conductances instead of the programmed ones.
        keeps_zero: whether a device without conductance never shows one, so that it need not be looked at; a
            model whose noise or drift is absolute says no.
    """

    drifts_from_target: ClassVar[bool] = False
    keeps_zero: ClassVar[bool] = False

    def __init__(self, config: NoiseModelConfig, converter: BaseConductanceConverter) -> None:
        self.converter = converter
        self._limits = config
        self.device_state = config.device_state

    @property
    def has_stuck_devices(self) -> bool:
        """Whether programming draws which devices are stuck."""
        return self._limits.has_stuck_devices

    @property
    def g_max(self) -> float:
        """Conductance of the largest weight, in uS."""
        return self.converter.g_max

    @abstractmethod
    def program_conductance(self, g_target_us: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return the conductance in uS that programming to a target reaches."""

    def draw_state(self, g_target_us: Tensor, *, generator: torch.Generator) -> Tensor | None:  # noqa: ARG002 - most models draw one
        """Return what every device keeps over time, such as its drift exponent; None if nothing."""
        return None

    @abstractmethod
    def drift_conductance(
        self, g_us: Tensor, state: Tensor | None, t_inference_s: float, *, generator: torch.Generator
    ) -> Tensor:
        """Return the conductance in uS that is read at a time after programming.

        Args:
            g_us: the programmed conductance (the target if `drifts_from_target`).
            state: what `draw_state` returned for the device.
            t_inference_s: time after programming in s, >= 0.
            generator: stream of the read noise.
        """

    @torch.no_grad()
    def program(
        self,
        target_OI: Tensor,
        *,
        programming: torch.Generator,
        drift: torch.Generator,
        faults: torch.Generator | None = None,
    ) -> ProgrammedWeights:
        """Program a tile.

        Args:
            target_OI: the weights to program, [out, in].
            programming: stream of the programming noise, on the weights' device.
            drift: stream of the drift exponents, on the weights' device.
            faults: stream of the stuck devices, on the weights' device; needed where the model has some.

        Raises:
            ValueError: there are stuck devices to be drawn, and no stream for them.
        """
        target_OI = target_OI.detach()
        targets, params = self.targets(target_OI)
        programmed = [self.program_conductance(g, generator=programming) for g in targets]
        states = tuple(self.draw_state(g, generator=drift) for g in targets)
        stuck_us = self._stuck(targets, faults)
        if stuck_us is not None:
            programmed = with_stuck(programmed, stuck_us)
        weights_OI = self.converter.convert_back_to_weights(programmed, params)
        if self.drifts_from_target:
            return ProgrammedWeights(weights_OI, tuple(targets), params, states, stuck_us=stuck_us)
        if self.device_state is DeviceState.PER_DEVICE:
            return ProgrammedWeights(weights_OI, tuple(programmed), params, states, stuck_us=stuck_us)
        if stuck_us is None:
            return self._in_net_state(weights_OI, states)
        # what is stuck does not count in the largest weight, which the second conversion scales by
        others_OI = torch.where(cells_with_stuck(stuck_us), target_OI, weights_OI)
        return ProgrammedWeights(
            weights_OI,
            tuple(programmed),
            params,
            states,
            stuck_us=stuck_us,
            healthy=self._in_net_state(others_OI, states),
        )

    def targets(self, target_OI: Tensor) -> tuple[list[Tensor], Params]:
        """Return the conductances to program, among those that a device can have, as the converter does."""
        targets, params = self.converter.convert_to_conductances(target_OI)
        states = self._limits.states
        if states is None:
            return targets, params
        ends_us = self.converter.g_min, self.converter.g_max
        return [nearest_level(g, states, *ends_us) for g in targets], params

    def _stuck(self, targets: list[Tensor], faults: torch.Generator | None) -> tuple[Tensor, ...] | None:
        if not self.has_stuck_devices:
            return None
        if faults is None:
            raise ValueError("some devices are stuck: pass the stream that says which (faults)")
        return draw_stuck(targets, self._limits, self.converter.g_min, self.converter.g_max, faults)

    def _in_net_state(self, weights_OI: Tensor, states: tuple[Tensor | None, ...]) -> ProgrammedWeights:
        return ProgrammedWeights(weights_OI, None, None, states, self._lone_devices(weights_OI, states))

    def _lone_devices(self, weights_OI: Tensor, states: tuple[Tensor | None, ...]) -> LoneDevices | None:
        scale = self.converter.scale_of_lone_devices(weights_OI) if self.keeps_zero else None
        if scale is None:
            return None
        state, of_negative = states
        if state is not None and of_negative is not None:
            state = torch.where(weights_OI < 0, of_negative, state)
        return LoneDevices((weights_OI * scale).abs_(), state, scale)

    @torch.no_grad()
    def drift(self, programmed: ProgrammedWeights, t_inference_s: float, *, read: torch.Generator) -> Tensor:
        """Return the weights [out, in] that are read at a time after programming.

        Args:
            programmed: one programming; the same one serves all times.
            t_inference_s: time after programming in s; at 0 read noise acts already.
            read: stream of the read noise, on the weights' device, drawn anew for every time.

        Raises:
            ValueError: when the time is negative or not finite.
        """
        if not (math.isfinite(t_inference_s) and t_inference_s >= 0):
            raise ValueError(f"t_inference is a finite time >= 0 s after programming, not {t_inference_s!r}")
        lone, healthy, stuck_us = programmed.lone, programmed.healthy, programmed.stuck_us
        if healthy is not None and stuck_us is not None:
            others_OI = self.drift(healthy, t_inference_s, read=read)
            own_OI = self.drift(replace(programmed, healthy=None), t_inference_s, read=read)
            return torch.where(cells_with_stuck(stuck_us), own_OI, others_OI)
        if lone is not None:
            g_us = self.drift_conductance(lone.g_us, lone.state, t_inference_s, generator=read)
            return g_us.copysign(programmed.weights_OI).div_(lone.scale)
        if programmed.conductances_us is None or programmed.params is None:
            conductances, params = self.converter.convert_to_conductances(programmed.weights_OI)
        else:
            conductances, params = list(programmed.conductances_us), programmed.params
        drifted = [
            self.drift_conductance(g, state, t_inference_s, generator=read)
            for g, state in zip(conductances, programmed.states, strict=True)
        ]
        if stuck_us is not None:
            drifted = with_stuck(drifted, stuck_us)
        return self.converter.convert_back_to_weights(drifted, params)

    def apply_noise(
        self,
        target_OI: Tensor,
        t_inference_s: float,
        *,
        programming: torch.Generator,
        drift: torch.Generator,
        read: torch.Generator,
        faults: torch.Generator | None = None,
    ) -> Tensor:
        """Return the weights [out, in] after programming and a time; at 0 s the programmed weights."""
        programmed = self.program(target_OI, programming=programming, drift=drift, faults=faults)
        if t_inference_s == 0:
            return programmed.weights_OI
        return self.drift(programmed, t_inference_s, read=read)


class BaseDriftCompensation(ABC):
    """A digital factor on a tile's output, from a readout of the tile with one-hot inputs.

    Attributes:
        exact_reference: whether the baseline is the noiseless product of the target weights, instead of a
            readout of the tile right after programming.
    """

    exact_reference: ClassVar[bool] = False

    def __init__(self, config: DriftCompensationConfig) -> None:
        self.config = config

    @abstractmethod
    def readout(self, y_IO: Tensor) -> Tensor:
        """Return what is kept of the outputs [in, out] to one-hot inputs: a scalar, or a value per output."""

    def factor(self, baseline: Tensor, now: Tensor) -> Tensor:
        """Return the factor on the output: scalar or [out], from the readouts then and now."""
        return baseline / now


_CONVERTERS: Registry[BaseConductanceConverter] = Registry("conductance converter")
_NOISE_MODELS: Registry[BaseNoiseModel] = Registry("noise model")
_COMPENSATIONS: Registry[BaseDriftCompensation] = Registry("drift compensation")

register_converter = _CONVERTERS.register
register_noise_model = _NOISE_MODELS.register
register_drift_compensation = _COMPENSATIONS.register


def build_converter(config: ConverterConfig) -> BaseConductanceConverter:
    """Return the converter that a configuration describes."""
    return _CONVERTERS.build(config)


def build_noise_model(config: NoiseModelConfig) -> BaseNoiseModel:
    """Return the noise model that a configuration describes."""
    return _NOISE_MODELS.build(config)


def build_drift_compensation(config: DriftCompensationConfig | None) -> BaseDriftCompensation | None:
    """Return the drift compensation that a configuration describes; None for none."""
    return None if config is None else _COMPENSATIONS.build(config)


def standard_normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal draws of a tensor's shape, type and device."""
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
