"""From what the simulator counted to what is stored."""

from __future__ import annotations

from dataclasses import asdict

from app.engine.kinds.inference.results import Counts
from simulator.tasks import Score


def counts_of(result: Score) -> Counts:
    """Return the counts as the database takes them."""
    return Counts(**asdict(result))
