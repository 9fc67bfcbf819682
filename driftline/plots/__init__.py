"""Pictures of results, in one look: for the API, its pages and reports, the client and notebooks.

Each function takes what the API answers, as JSON, and returns a matplotlib figure; `to_bytes` makes a file
of it. Needs matplotlib, and neither torch nor the service.
"""

from __future__ import annotations

from driftline.plots.accuracy import accuracy
from driftline.plots.advice import advice
from driftline.plots.budget import error_budget
from driftline.plots.comparison import compare
from driftline.plots.cost import accuracy_against_energy, cost
from driftline.plots.files import to_bytes
from driftline.plots.layers import layer, layers, transfer
from driftline.plots.lifetime import chip_yield
from driftline.plots.plan import maintenance_plan
from driftline.plots.sensitivity import layer_sensitivity

# The picture of each type of analysis.
ANALYSES = {
    "advice": advice,
    "error_budget": error_budget,
    "layer_sensitivity": layer_sensitivity,
    "maintenance_plan": maintenance_plan,
}

__all__ = [
    "ANALYSES",
    "accuracy",
    "accuracy_against_energy",
    "advice",
    "chip_yield",
    "compare",
    "cost",
    "error_budget",
    "layer",
    "layer_sensitivity",
    "layers",
    "maintenance_plan",
    "to_bytes",
    "transfer",
]
