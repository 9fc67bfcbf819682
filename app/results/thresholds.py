"""The value of its metric that a chip has to hold: what `?accuracy=`, `?drop=` and `?threshold=` ask for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from app.kit.problems import Fault, InvalidRequest
from app.kit.query import QueryModel
from simulator.config import Variant
from simulator.config.tasks import Metric, default_threshold


class ThresholdQuery(QueryModel):
    """The threshold that a client asks for: at most one of these."""

    accuracy: Annotated[
        float | None, Field(description="Least accuracy, 0 to 1; for jobs whose metric is accuracy.")
    ] = None
    drop: Annotated[
        float | None,
        Field(
            description="How much worse than digital, in the metric's unit. The default is 0.01 of an"
            " accuracy, and a tenth more than digital for other metrics."
        ),
    ] = None
    threshold: Annotated[float | None, Field(description="Worst value of the job's metric, in its unit.")] = (
        None
    )

    @property
    def given(self) -> dict[str, float]:
        """What the client has given, by name."""
        named = {"accuracy": self.accuracy, "drop": self.drop, "threshold": self.threshold}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class Threshold:
    """A threshold of a job's metric.

    Attributes:
        metric: the job's.
        value: a chip holds while its metric is at least (for an error: at most) this.
        digital: the metric of the model as uploaded, in floating point; None if the job has not evaluated it.
        is_default: nobody asked for another.
    """

    metric: Metric
    value: float
    digital: float | None
    is_default: bool


def threshold_of(
    metric: Metric, baseline: Mapping[str, Mapping[str, Any]], query: ThresholdQuery
) -> Threshold | None:
    """Return the threshold that a query asks for; None where it refers to a digital result that is not there.

    Args:
        metric: the job's.
        baseline: floating-point results by model, as answers have them.
        query: what the client asks for.

    Raises:
        InvalidRequest: more than one threshold is asked for, or the one does not fit the metric.
    """
    faults = _faults(metric, query)
    if faults:
        raise InvalidRequest("there is no such threshold", errors=faults)
    digital = baseline.get(Variant.DIGITAL, {}).get(metric)
    absolute = query.threshold if query.accuracy is None else query.accuracy
    if absolute is not None:
        return Threshold(metric, absolute, digital, is_default=False)
    if digital is None:
        return None
    if query.drop is not None:
        value = max(0.0, digital - query.drop) if metric.higher_is_better else digital + query.drop
        return Threshold(metric, value, digital, is_default=False)
    value = default_threshold(metric, digital)
    return None if value is None else Threshold(metric, value, digital, is_default=True)


def no_digital_result() -> InvalidRequest:
    """Return the problem of a threshold that refers to a digital result that is not there."""
    fault = Fault(
        pointer="/query/threshold",
        code="no_digital_result",
        message="the threshold refers to the digital result, which the job does not have (yet)",
        hint="give ?threshold=, or evaluate the variant digital too",
    )
    return InvalidRequest("there is no such threshold", errors=[fault])


def _faults(metric: Metric, query: ThresholdQuery) -> list[Fault]:
    given = query.given
    faults = []
    if len(given) > 1:
        message = f"{' and '.join(given)} are given, and each alone says the threshold"
        faults.append(
            Fault(pointer="/query", code="one_threshold_only", message=message, hint="give one of them")
        )
    if query.accuracy is not None and metric is not Metric.ACCURACY:
        message = f"the job's metric is {metric}, not accuracy"
        hint = f"give ?threshold= with a value of {metric}"
        faults.append(Fault(pointer="/query/accuracy", code="wrong_metric", message=message, hint=hint))
    for name, value in given.items():
        is_share = metric is Metric.ACCURACY or name == "accuracy"
        if not math.isfinite(value) or value < 0 or (is_share and value > 1):
            example = "0.02 for two points" if name == "drop" else "0.95 for 95 %"
            limits = f"from 0 to 1, such as {example}" if is_share else "zero or more, and finite"
            message = f"{name} has to be {limits}"
            faults.append(Fault(pointer=f"/query/{name}", code="out_of_range", message=message))
    return faults
