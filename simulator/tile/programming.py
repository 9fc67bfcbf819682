"""What is on a tile's crossbar: programmed devices, their drift, and the factor that compensates it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simulator.config import InferenceRPUConfig
from simulator.devices import build_drift_compensation, build_noise_model
from simulator.rng import KeyPart, NoiseContext, Purpose

TileKey = tuple[KeyPart, ...]
Readout = Callable[[Tensor], Tensor]  # weights `[O, I]` -> the tile's responses to unit vectors `[I, O]`


@dataclass
class ProgrammedTile:
    """The devices of one tile on one chip instance.

    Attributes:
        weights_OI: what an evaluation reads now: programmed, drifted, with read noise.
        devices: what programming left in the devices; None where weights were put here by hand.
        repeat: the chip instance; None where weights were put here by hand.
        baseline: the readout after programming that later ones are compared with; None without.
        compensation: factor of the drift compensation, `[]` or `[out]`; None before a drift, or without.
    """

    weights_OI: Tensor  # noqa: N815 - a legend of shapes
    devices: Any = None
    repeat: int | None = None
    baseline: Tensor | None = None
    compensation: Tensor | None = None

    @classmethod
    def program(
        cls, target_OI: Tensor, config: InferenceRPUConfig, context: NoiseContext, key: TileKey
    ) -> ProgrammedTile:
        """Program weights onto the devices of the chip instance that the context is at.

        Args:
            target_OI: normalised weights, |w| = 1 is g_max.
            config: gives the noise model.
            context: where in a simulation the model is.
            key: the tile's part of the keys of random streams.
        """
        device = target_OI.device
        model = build_noise_model(config.noise_model)
        faults = None
        if model.has_stuck_devices:
            faults = context.instance_stream(Purpose.FAULTS, key, device=device).open()
        devices = model.program(
            target_OI,
            programming=context.programming_stream(Purpose.PROGRAMMING, key, device=device).open(),
            drift=context.programming_stream(Purpose.DRIFT, key, device=device).open(),
            faults=faults,
        )
        return cls(devices.weights_OI, devices, context.repeat)

    def drift(
        self, t_inference_s: float, config: InferenceRPUConfig, context: NoiseContext, key: TileKey
    ) -> None:
        """Let the devices drift, and read them.

        Args:
            t_inference_s: time in s after the last programming.
            config: gives the noise model.
            context: where in a simulation the model is.
            key: the tile's part of the keys of random streams.

        Raises:
            RuntimeError: the weights were put here by hand, and belong to no devices.
        """
        if self.devices is None:
            raise RuntimeError("weights that were not programmed do not drift")
        read = context.read_stream(Purpose.READ, key, device=self.devices.weights_OI.device)
        model = build_noise_model(config.noise_model)
        self.weights_OI = model.drift(self.devices, t_inference_s, read=read.open())

    def read_baseline(self, target_OI: Tensor, config: InferenceRPUConfig, read_out: Readout) -> None:
        """Read the present weights as what later readouts are compared with.

        Args:
            target_OI: what was to be programmed, the baseline of compensations with exact reference.
            config: gives the drift compensation.
            read_out: reads the tile.
        """
        self.compensation = self.baseline = None
        compensation = build_drift_compensation(config.drift_compensation)
        if compensation is not None:
            y_IO = target_OI.t() if compensation.exact_reference else read_out(self.weights_OI)
            self.baseline = compensation.readout(y_IO)

    def compensate(self, config: InferenceRPUConfig, read_out: Readout) -> None:
        """Read the present weights and set the factor that makes up for what changed since the baseline."""
        compensation = build_drift_compensation(config.drift_compensation)
        if compensation is not None and self.baseline is not None:
            self.compensation = compensation.factor(
                self.baseline, compensation.readout(read_out(self.weights_OI))
            )


@contextmanager
def outside_autograd() -> Iterator[None]:
    """Keep no gradients, and make tensors that serve inference mode and training alike."""
    with torch.inference_mode(mode=False), torch.no_grad():
        yield
