"""Results as clients read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, create_model

from simulator.config.tasks import BESIDE, COUNTS, QUANTITIES, Metric, Task


def _number(kind: type, meaning: str, **field: Any) -> Any:
    """Return the definition of a field that may be null."""
    return kind | None, Field(description=f"{meaning[:1].upper()}{meaning[1:]}.", **field)


class _PointView(BaseModel):
    """The metric over chips at one time.

    Spreads are null for one repeat; all of it is null when the metric of a chip was not finite.
    """

    t_inference: float = Field(description="Seconds after programming.")
    repeats: int
    mean: float | None
    std: float | None
    ci95: tuple[float, float] | None = Field(description="Student's t interval of the mean over chips.")
    p05: float | None
    p95: float | None
    min: float | None
    max: float | None


# Their fields follow the table of counts and quantities, where type checkers cannot follow.
if TYPE_CHECKING:
    PointView = _PointView
    CellView = BaseModel
else:
    PointView = create_model(
        "PointView",
        __base__=_PointView,
        __doc__=_PointView.__doc__,
        **{f"{name}_mean": _number(float, QUANTITIES[name].meaning) for name in BESIDE},
        test_set_ci95=(
            tuple[float, float] | None,
            Field(default=None, description="Wilson's interval for the finite test set, on request."),
        ),
    )
    CellView = create_model(
        "CellView",
        __doc__="One variant on one chip at one time.",
        variant=(str, ...),
        repeat=(int, ...),
        t_inference=(float, ...),
        **{
            count.name: _number(int if count.kind == "integer" else float, count.meaning, default=None)
            for count in COUNTS
        },
    )


class SeriesView(BaseModel):
    """One variant over time."""

    variant: str
    points: list[PointView]


class ResultsView(BaseModel):
    """Accuracy over time."""

    job: str
    complete: bool
    task: Task
    metric: Metric
    baseline: dict[str, dict[str, Any]]
    series: list[SeriesView]
    cells: list[CellView] | None = None
