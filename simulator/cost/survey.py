"""Analog-to-digital converters as the survey of published ones has them.

Source: B. Murmann's survey of published converters; the fit is that of the Accelergy ADC component (MIT
licence). Column converters on chips were up to ten times better at 130 nm, so a factor of 3 is the least.
"""

from __future__ import annotations

import math
from typing import Final

SOURCE: Final = "Murmann's ADC survey, fit of the Accelergy ADC component (MIT licence)"
FACTOR: Final = 3.0


def adc_energy_j(bits: float, samples_per_s: float, node_nm: float) -> float:
    """Return the energy of one conversion, in J.

    Args:
        bits: resolution.
        samples_per_s: rate of one converter, in Hz.
        node_nm: technology, in nm.
    """
    sndr_db = 6.02 * bits + 1.76
    figure_db = min(213.7807 - 2.8719 * math.log(samples_per_s), 128.307 + 3.2205 * math.ceil(bits))
    shape = math.exp(26.0496 + 1.88004 * math.log(node_nm) - 2.82913 * math.log(bits) - 1.47020)
    return 1e-12 * shape / (2 * 10 ** ((figure_db - sndr_db) / 10))


def adc_area_mm2(bits: float, samples_per_s: float, node_nm: float) -> float:
    """Return the area of one converter, in mm2; arguments as for `adc_energy_j`."""
    energy_pj = 1e12 * adc_energy_j(bits, samples_per_s, node_nm)
    return 1e-6 * math.exp(
        1.34619
        + 0.99328 * math.log(node_nm)
        + 0.18072 * math.log(samples_per_s)
        + 0.29912 * math.log(energy_pj)
    )
