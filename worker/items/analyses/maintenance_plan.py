"""The maintenance plan: the job's own network, whose chips get other services than the job's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from worker.job_models import JobModels
from worker.runner.context import ItemContext


def network(item: ItemContext, _: Mapping[str, Any]) -> nn.Module:
    """Return the job's own network, ready to be programmed."""
    return JobModels(item).ready(item.variant)
