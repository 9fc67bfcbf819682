"""Noise models with programming noise, power-law drift and 1/f read noise: phase-change memory and its kin.

g_P = max(0, g_T + scale sigma(g_T) N); g_D = g_P ((t + t_0) / t_0)^-nu; read noise of standard deviation
scale Q g_D sqrt(ln((t + t_0 + t_read) / (2 t_read))). Source: Nandakumar et al., ICECS 2019.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from simulator import config as described
from simulator.config.noise_models import HERMES_G_MAX_US, PairNoiseModelConfig, ScaledNoiseModelConfig
from simulator.devices.base import (
    BaseConductanceConverter,
    BaseNoiseModel,
    build_converter,
    register_noise_model,
    standard_normal,
)
from simulator.devices.curves import SMALLEST_G_RELATIVE, interpolate, polynomial

PCM_PROG_COEFF_US = (0.26348, 1.9650, -1.1731)
PCM_PROG_G_MAX_REFERENCE_US = 25.0
HERMES_PROG_COEFF_US = {
    1: (0.15781817, 2.32443916, -2.16310839, 0.68841818),
    2: (0.16603222, 4.71806468, -8.48101252, 4.68961419),
}
STATE_INDEPENDENT_PROG_COEFF_US = (0.2, 0.0, 0.0)


def converter_of(config: PairNoiseModelConfig) -> BaseConductanceConverter:
    """Return the converter of a noise model: the one it names, or a single pair with its g_max."""
    named = config.g_converter
    return build_converter(named or described.SinglePairConductanceConverter(g_max=config.effective_g_max_us))


def add_noise(g_us: Tensor, sigma_us: Tensor, generator: torch.Generator) -> Tensor:
    """Return max(0, g + sigma N): no conductance is negative. Overwrites sigma."""
    return sigma_us.mul_(standard_normal(g_us, generator)).add_(g_us).clamp_(min=0.0)


def drifted(g_us: Tensor, nu: Tensor, t_inference_s: float, t_0_s: float) -> Tensor:
    """Return g ((t + t_0) / t_0)^-nu."""
    return (nu * -math.log1p(t_inference_s / t_0_s)).exp_().mul_(g_us)


def one_over_f(t_since_start_s: float, t_read_s: float) -> float:
    """Return sqrt(ln((t + t_read) / (2 t_read))), the growth of integrated 1/f noise; 0 before t_read."""
    return math.sqrt(max(0.0, math.log((t_since_start_s + t_read_s) / (2 * t_read_s))))


class PowerLawNoise(BaseNoiseModel):
    """The common form; the models differ in sigma(g), in the exponents' mean and spread, and in Q(g)."""

    keeps_zero = True  # drift and read noise are relative to the conductance

    def __init__(
        self,
        config: ScaledNoiseModelConfig,
        prog_coeff_us: tuple[float, ...],
        prog_g_max_reference_us: float | None,
    ) -> None:
        super().__init__(config, converter_of(config))
        reference = prog_g_max_reference_us if prog_g_max_reference_us is not None else self.g_max
        self.prog_coeff_us = tuple(c * self.g_max / reference for c in prog_coeff_us)
        self.t_0_s = config.t_0
        self.t_read_s = config.t_read
        self.prog_noise_scale = config.prog_noise_scale
        self.read_noise_scale = config.read_noise_scale
        self.drift_scale = config.drift_scale

    @abstractmethod
    def nu_moments(self, g_target_us: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Return mean and standard deviation of the drift exponent before folding and scaling."""

    @abstractmethod
    def relative_read_noise(self, g_us: Tensor) -> Tensor | float:
        """Return Q, the read noise relative to the conductance at unit growth (unit-free)."""

    def program_conductance(self, g_target_us: Tensor, *, generator: torch.Generator) -> Tensor:
        """See the base class."""
        sigma_us = polynomial(g_target_us / self.g_max, self.prog_coeff_us).mul_(self.prog_noise_scale)
        return add_noise(g_target_us, sigma_us, generator)

    def draw_state(self, g_target_us: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return the drift exponents: |mean + spread N|, scaled."""
        mean, spread = self.nu_moments(g_target_us)
        return standard_normal(g_target_us, generator).mul_(spread).add_(mean).abs_().mul_(self.drift_scale)

    def drift_conductance(
        self, g_us: Tensor, state: Tensor | None, t_inference_s: float, *, generator: torch.Generator
    ) -> Tensor:
        """See the base class."""
        g_drifted = g_us if state is None else drifted(g_us, state, t_inference_s, self.t_0_s)
        growth = one_over_f(t_inference_s + self.t_0_s, self.t_read_s)
        sigma_us = (g_drifted * self.relative_read_noise(g_us)).mul_(self.read_noise_scale * growth)
        return add_noise(g_drifted, sigma_us, generator)


def _programming(
    config: described.PCMLikeNoiseModel | described.CustomDriftPCMLikeNoiseModel | described.HermesNoiseModel,
    published_us: tuple[float, ...],
    published_reference_us: float,
) -> tuple[tuple[float, ...], float | None]:
    if config.prog_coeff is None:
        return published_us, published_reference_us
    return tuple(config.prog_coeff), config.prog_coeff_g_max_reference


@register_noise_model(described.PCMLikeNoiseModel)
class PCMLikeNoise(PowerLawNoise):
    """Phase-change memory, doped Ge2Sb2Te5 mushroom cells (Nandakumar et al., ICECS 2019)."""

    def __init__(self, config: described.PCMLikeNoiseModel | described.CustomDriftPCMLikeNoiseModel) -> None:
        super().__init__(config, *_programming(config, PCM_PROG_COEFF_US, PCM_PROG_G_MAX_REFERENCE_US))

    def nu_moments(self, g_target_us: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """See the base class."""
        ln_g = (g_target_us / self.g_max).clamp_(min=SMALLEST_G_RELATIVE).log_()
        mean = polynomial(ln_g, (0.0244, -0.0155)).clamp_(0.049, 0.1)
        return mean, polynomial(ln_g, (-0.0059, -0.0125)).clamp_(0.008, 0.045)

    def relative_read_noise(self, g_us: Tensor) -> Tensor | float:
        """See the base class."""
        return 0.0088 / (g_us / self.g_max).pow_(0.65).clamp_(min=0.0088 / 0.2)


@register_noise_model(described.CustomDriftPCMLikeNoiseModel)
class CustomDriftPCMLikeNoise(PCMLikeNoise):
    """Phase-change memory with tabulated drift exponents."""

    def __init__(self, config: described.CustomDriftPCMLikeNoiseModel) -> None:
        super().__init__(config)
        self._table = config.custom_drift_model

    def nu_moments(self, g_target_us: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """See the base class."""
        mean = interpolate(g_target_us, self._table.g_lst, self._table.nu_mean_lst)
        return mean, interpolate(g_target_us, self._table.g_lst, self._table.nu_std_lst)


@register_noise_model(described.HermesNoiseModel)
class HermesNoise(PowerLawNoise):
    """Phase-change memory of the HERMES project chip (Le Gallo et al., Nat. Electron. 2023).

    The fits are logarithmic for small conductances and polynomial above a break.
    """

    def __init__(self, config: described.HermesNoiseModel) -> None:
        devices = config.num_devices
        fit = _programming(config, HERMES_PROG_COEFF_US[devices], HERMES_G_MAX_US[devices])
        super().__init__(config, *fit)
        self.num_devices = devices

    def _relative(self, g_us: Tensor) -> tuple[Tensor, Tensor]:
        g_relative = g_us / self.g_max
        return g_relative, g_relative.clamp(min=SMALLEST_G_RELATIVE).log_()

    def nu_moments(self, g_target_us: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """See the base class."""
        g, ln_g = self._relative(g_target_us)
        low = polynomial(ln_g, (-0.0182, -0.0387)).clamp_(0.0720, 0.13)
        mean = torch.where(g < 0.0945, low, polynomial(g, (0.0736, -0.0126, -0.0436)))
        if self.num_devices == 1:
            low = polynomial(ln_g, (-0.0023, -0.0120)).clamp_(0.0124, 0.04)
            return mean, torch.where(g < 0.3039, low, polynomial(g, (0.0104, 0.0116, -0.0165)))
        low = polynomial(ln_g, (-0.0057, -0.0117)).clamp_(0.0091, 0.04)
        return mean, torch.where(g < 0.3055, low, polynomial(g, (0.0073, 0.0093, -0.0118)))

    def relative_read_noise(self, g_us: Tensor) -> Tensor | float:
        """See the base class."""
        g, ln_g = self._relative(g_us)
        if self.num_devices == 1:
            low = polynomial(ln_g, (0.0038, -0.0078)).clamp_(0.0179, 0.04)
            return torch.where(g < 0.1591, low, polynomial(g, (0.0088, 0.0768, -0.1352, 0.0664)))
        low = polynomial(ln_g, (-0.0069, -0.0117)).clamp_(0.015, 0.04)
        return torch.where(g < 0.16, low, polynomial(g, (0.0123, 0.0211, -0.0280, 0.0069)))


@register_noise_model(described.StateIndependentNoiseModel)
class StateIndependentNoise(PowerLawNoise):
    """Noise and drift that do not depend on the conductance; read noise of g_D / g_max uS at unit growth."""

    def __init__(self, config: described.StateIndependentNoiseModel) -> None:
        super().__init__(config, tuple(config.prog_coeff or STATE_INDEPENDENT_PROG_COEFF_US), None)
        self.drift_nu_mean = config.drift_nu_mean
        self.drift_nu_std = config.drift_nu_std

    def nu_moments(self, g_target_us: Tensor) -> tuple[Tensor | float, Tensor | float]:  # noqa: ARG002 - state independent
        """See the base class."""
        return self.drift_nu_mean, self.drift_nu_std

    def relative_read_noise(self, g_us: Tensor) -> Tensor | float:  # noqa: ARG002 - state independent
        """See the base class."""
        return 1.0 / self.g_max
