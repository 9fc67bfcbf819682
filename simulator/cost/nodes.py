"""Digital logic between technology nodes: energy and area of the same circuit (Stillmaker and Baas, 2017).

Source: A. Stillmaker and B. Baas, "Scaling equations for the accurate prediction of CMOS device performance
from 180 nm to 7 nm", Integration 58 (2017). Analog circuits and memory cells of other kinds do not scale so.
"""

from __future__ import annotations

import math
from typing import Final

SOURCE: Final = "Stillmaker and Baas, Integration 58 (2017)"
DEFAULT_VOLTAGE_V: Final = 0.8
# node in nm -> (a, b, c) of energy ~ a V^2 + b V + c
_ENERGY: Final[dict[float, tuple[float, float, float]]] = {
    130: (7.171, -6.709, 2.904),
    90: (4.762, -4.781, 2.092),
    65: (3.755, -4.398, 1.975),
    45: (1.103, -0.362, 0.2767),
    32: (0.9559, -0.7823, 0.471),
    20: (0.373, -0.1582, 0.04104),
    16: (0.2958, -0.1241, 0.03024),
    14: (0.2363, -0.09675, 0.02239),
    10: (0.2068, -0.09311, 0.02375),
    7: (0.1776, -0.09097, 0.02447),
}
# node in nm -> area relative to 32 nm
_AREA: Final[dict[float, float]] = {
    130: 14.0, 90: 6.1, 65: 3.3, 45: 2.2, 32: 1.0, 20: 0.46, 16: 0.41, 14: 0.38, 10: 0.22, 7: 0.13,
}  # fmt: skip
SMALLEST_NM: Final = min(_ENERGY)
LARGEST_NM: Final = max(_ENERGY)


def energy_factor(
    from_nm: float,
    to_nm: float,
    *,
    from_v: float = DEFAULT_VOLTAGE_V,
    to_v: float = DEFAULT_VOLTAGE_V,
) -> float:
    """Return what the energy of a digital operation is multiplied by at another node.

    Args:
        from_nm: node of the price, in nm; between 7 and 130.
        to_nm: node wanted, in nm.
        from_v: supply of the price, in V.
        to_v: supply wanted, in V.
    """
    return _energy(to_nm, to_v) / _energy(from_nm, from_v)


def area_factor(from_nm: float, to_nm: float) -> float:
    """Return what the area of a digital circuit is multiplied by at another node; nodes in nm."""
    return _between(_AREA, to_nm) / _between(_AREA, from_nm)


def _energy(node_nm: float, voltage_v: float) -> float:
    return _between(
        {node: a * voltage_v**2 + b * voltage_v + c for node, (a, b, c) in _ENERGY.items()}, node_nm
    )


def _between(table: dict[float, float], node_nm: float) -> float:
    """Return the value at a node, log against log between two that are listed, the nearest outside."""
    node_nm = min(max(node_nm, SMALLEST_NM), LARGEST_NM)
    upper = min(node for node in table if node >= node_nm)
    lower = max(node for node in table if node <= node_nm)
    if upper == lower:
        return table[upper]
    share = math.log(node_nm / lower) / math.log(upper / lower)
    return math.exp((1 - share) * math.log(table[lower]) + share * math.log(table[upper]))
