"""What a setting is on a worker, by type of analysis: the network that is evaluated under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from worker.items.analyses import error_budget
from worker.runner.context import ItemContext

# Returns a variant's network as a setting's coordinates say, ready to be programmed.
Network = Callable[[ItemContext, Mapping[str, Any]], nn.Module]

NETWORKS: Mapping[str, Network] = {
    "error_budget": error_budget.network,
}
