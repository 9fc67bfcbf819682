"""What a setting is on a worker, by type of analysis: the network under it, or what is seen of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from worker.items.analyses import advice, error_budget, layer_sensitivity, maintenance_plan
from worker.runner.context import ItemContext

# Returns a variant's network as a setting's coordinates say, ready to be programmed.
Network = Callable[[ItemContext, Mapping[str, Any]], nn.Module]
# Yields what is seen on the first chip at times in s, as JSON, for a setting that observes.
Observer = Callable[[ItemContext, Mapping[str, Any], Sequence[float]], Iterator[tuple[float, dict[str, Any]]]]

NETWORKS: Mapping[str, Network] = {
    "advice": advice.network,
    "error_budget": error_budget.network,
    "layer_sensitivity": layer_sensitivity.network,
    "maintenance_plan": maintenance_plan.network,
}
OBSERVERS: Mapping[str, Observer] = {
    "advice": advice.observe,
    "layer_sensitivity": layer_sensitivity.observe,
}
