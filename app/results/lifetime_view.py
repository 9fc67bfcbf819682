"""Lifetimes as clients read them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from app.results import services
from app.results.findings import Findings
from app.results.schemas import LifetimeView
from app.results.thresholds import no_digital_result


def lifetime_view(found: Findings) -> LifetimeView:
    """Return how long the chips of a job hold a threshold.

    Raises:
        InvalidRequest: the threshold refers to a digital result that is not there.
    """
    if found.threshold is None:
        raise no_digital_result()
    series: list[dict[str, Any]] = []
    for life in found.lives:
        one = asdict(life)
        series.append({**one, "yield": one["yield_"]})
    return LifetimeView.model_validate(
        {
            "job": found.facts.job_id,
            "complete": found.summary.version.complete,
            "metric": found.threshold.metric,
            "threshold": found.threshold.value,
            "digital": found.threshold.digital,
            "maintenance": found.summary.answer.get("maintenance"),
            "note": services.between_times(found.summary.answer),
            "series": series,
        }
    )
