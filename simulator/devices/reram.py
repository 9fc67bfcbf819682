"""Noise models of resistive memory."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from simulator import config as described
from simulator.devices.base import (
    BaseNoiseModel,
    build_converter,
    register_noise_model,
    standard_normal,
)
from simulator.devices.curves import between_times, polynomial
from simulator.devices.power_law import add_noise, converter_of, one_over_f

_DAY_S = 86400.0
WAN_COEFF_US = {
    1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
    _DAY_S: (0.701, 22.086, -50.773, 47.095, -16.458),
    2 * _DAY_S: (0.782, 20.274, -43.507, 37.062, -11.934),
}
WAN_G_MAX_REFERENCE_US = 40.0
CMO_PROG_COEFF_US = {0.2: (0.00081107, 0.00106879), 2.0: (0.0112185391, 0.01129027418)}


class OutsideMeasuredTimesWarning(UserWarning):
    """A noise model was asked for a time outside of those it was measured at."""


@register_noise_model(described.ReRamWan2022NoiseModel)
class ReRamWan2022Noise(BaseNoiseModel):
    """Resistive memory whose deviation from the target depends on time (Wan et al., Nature 608, 2022).

    At every time the deviation is drawn anew around the target; programming shows that of the first time.
    """

    drifts_from_target = True

    def __init__(self, config: described.ReRamWan2022NoiseModel) -> None:
        super().__init__(config, converter_of(config))
        coefficients = config.coeff_dic or WAN_COEFF_US
        own = WAN_G_MAX_REFERENCE_US if config.coeff_dic is None else self.g_max
        reference = config.coeff_g_max_reference or own
        factor = config.noise_scale * self.g_max / reference
        self.times_s = sorted(coefficients)
        self._coeff_us = [tuple(c * factor for c in coefficients[t]) for t in self.times_s]

    def program_conductance(self, g_target_us: Tensor, *, generator: torch.Generator) -> Tensor:
        """See the base class."""
        return self._deviate(g_target_us, self.times_s[0], generator)

    def drift_conductance(
        self,
        g_us: Tensor,
        state: Tensor | None,  # noqa: ARG002 - devices keep nothing
        t_inference_s: float,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """See the base class; warns (`OutsideMeasuredTimesWarning`) outside of the measured times."""
        if not self.times_s[0] <= t_inference_s <= self.times_s[-1]:
            warnings.warn(
                f"ReRamWan2022NoiseModel was measured from {self.times_s[0]:g} s to {self.times_s[-1]:g} s; "
                f"the nearest of them stands in for {t_inference_s:g} s",
                OutsideMeasuredTimesWarning,
                stacklevel=2,
            )
        return self._deviate(g_us, t_inference_s, generator)

    def _deviate(self, g_target_us: Tensor, t_s: float, generator: torch.Generator) -> Tensor:
        left, right, share = between_times(t_s, self.times_s)
        g_relative = g_target_us / self.g_max
        sigma_us = polynomial(g_relative, self._coeff_us[left])
        if share > 0:
            sigma_us.lerp_(polynomial(g_relative, self._coeff_us[right]), share)
        return add_noise(g_target_us, sigma_us, generator)


@register_noise_model(described.ReRamCMONoiseModel)
class ReRamCMONoise(BaseNoiseModel):
    """Analog CMO/HfOx resistive memory: relaxation over ln t and read noise (Falcone et al.).

    The conductance read is clipped to [g_min, g_max]; at 0 s it is the programmed one.
    """

    def __init__(self, config: described.ReRamCMONoiseModel) -> None:
        converter = described.SingleDeviceConductanceConverter(g_max=config.g_max, g_min=config.g_min)
        super().__init__(config, build_converter(converter))
        coefficients = config.coeff_dict or CMO_PROG_COEFF_US
        self.prog_coeff_us = tuple(coefficients[config.acceptance_range])
        self.prog_noise_scale = config.prog_noise_scale
        self.read_noise_scale = config.read_noise_scale
        self.drift_scale = config.drift_scale
        self.relaxation = config.decay_dict
        self.read = config.read_dict

    def program_conductance(self, g_target_us: Tensor, *, generator: torch.Generator) -> Tensor:
        """See the base class."""
        sigma_us = polynomial(g_target_us, self.prog_coeff_us).mul_(self.prog_noise_scale)
        return sigma_us.mul_(standard_normal(g_target_us, generator)).add_(g_target_us)

    def drift_conductance(
        self,
        g_us: Tensor,
        state: Tensor | None,  # noqa: ARG002 - devices keep nothing
        t_inference_s: float,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """See the base class."""
        if t_inference_s == 0:
            return g_us
        ln_t = math.log(t_inference_s)
        shift_us = self.relaxation.mean[0] * ln_t * self.drift_scale
        spread_us = (self.relaxation.std[0] * ln_t + self.relaxation.std[1]) * self.drift_scale
        relaxed = standard_normal(g_us, generator).mul_(spread_us).add_(shift_us).add_(g_us)
        growth = one_over_f(t_inference_s, self.read.t_read)
        # the logarithm alone is floored: a conductance may relax below g_min before the clip
        sigma_us = relaxed.clamp(min=self.converter.g_min).log10_()
        sigma_us.mul_(self.read.K * growth * self.read_noise_scale)
        read = sigma_us.mul_(standard_normal(g_us, generator)).add_(relaxed)
        return read.clamp_(self.converter.g_min, self.converter.g_max)
