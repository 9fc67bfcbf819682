"""What an inference costs: energy, latency and area, as estimates with a band. Imports no torch."""

from simulator.cost.answer import estimate_json, peak_json
from simulator.cost.bands import Band
from simulator.cost.counting import Each, Times
from simulator.cost.estimating import estimate
from simulator.cost.network import Network, misfit_warning, network_of
from simulator.cost.peak import Peak, peak
from simulator.cost.prices import BitsNotPricedError
from simulator.cost.profile import HardwareProfile, profile_schema
from simulator.cost.results import Activity, Estimate, LayerCost
from simulator.cost.shipped import is_hardware_reference, profile_names, resolve_hardware, shipped_profile

__all__ = [
    "Activity",
    "Band",
    "BitsNotPricedError",
    "Each",
    "Estimate",
    "HardwareProfile",
    "LayerCost",
    "Network",
    "Peak",
    "Times",
    "estimate",
    "estimate_json",
    "is_hardware_reference",
    "misfit_warning",
    "network_of",
    "peak",
    "peak_json",
    "profile_names",
    "profile_schema",
    "resolve_hardware",
    "shipped_profile",
]
