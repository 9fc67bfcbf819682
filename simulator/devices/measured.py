"""The noise model of measured curves."""

from __future__ import annotations

import torch
from torch import Tensor

from simulator import config as described
from simulator.config.measured import ReadTimeLaw
from simulator.devices.base import BaseNoiseModel, register_noise_model, standard_normal
from simulator.devices.curves import Curve, CurveAtTime
from simulator.devices.power_law import add_noise, converter_of, drifted, one_over_f


@register_noise_model(described.MeasuredNoiseModel)
class MeasuredNoise(BaseNoiseModel):
    """Programming noise, power-law drift and read noise from curves over the conductance.

    A device keeps its target and one normal draw: its exponent at any time is |mean + spread * draw|.
    """

    keeps_zero = True  # drift and read noise are relative to the conductance

    def __init__(self, config: described.MeasuredNoiseModel) -> None:
        super().__init__(config, converter_of(config))
        self._config = config
        self._sigma = Curve(config.programming, self.g_max) if config.programming else None
        if config.drift:
            self._nu_mean = CurveAtTime(config.drift.nu_mean, self.g_max)
            self._nu_std = CurveAtTime(config.drift.nu_std, self.g_max)
        if config.read:
            self._q = CurveAtTime(config.read.q, self.g_max)

    def program_conductance(self, g_target_us: Tensor, *, generator: torch.Generator) -> Tensor:
        """See the base class."""
        if self._sigma is None:
            return g_target_us.clone()
        sigma_us = self._sigma.in_us(g_target_us).mul_(self._config.prog_noise_scale)
        return add_noise(g_target_us, sigma_us, generator)

    def draw_state(self, g_target_us: Tensor, *, generator: torch.Generator) -> Tensor | None:
        """Return target and draw of every device, stacked in front: [2, out, in]; None without drift."""
        if self._config.drift is None:
            return None
        return torch.stack([g_target_us, standard_normal(g_target_us, generator)])

    def drift_conductance(
        self, g_us: Tensor, state: Tensor | None, t_inference_s: float, *, generator: torch.Generator
    ) -> Tensor:
        """See the base class."""
        drift, read = self._config.drift, self._config.read
        start_s = drift.t_0 if drift else 0.0
        g_drifted = g_us
        if drift and state is not None:
            g_target_us, draw = state
            spread = self._nu_std(g_target_us, t_inference_s)
            nu = spread.mul_(draw).add_(self._nu_mean(g_target_us, t_inference_s)).abs_()
            g_drifted = drifted(g_us, nu.mul_(self._config.drift_scale), t_inference_s, drift.t_0)
        if read is None:
            return g_drifted
        growth = 1.0
        if read.time_law is ReadTimeLaw.ONE_OVER_F:
            growth = one_over_f(t_inference_s + start_s, read.t_read)
        sigma_us = self._q(g_us, t_inference_s).mul_(g_drifted)
        return add_noise(g_drifted, sigma_us.mul_(growth * self._config.read_noise_scale), generator)
