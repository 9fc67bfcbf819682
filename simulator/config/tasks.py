"""What a network is asked to do, what is counted of it, and which numbers follow from the counts.

The one table of metrics: the database stores the counts, and statistics, tables, answers and pictures read
from here what there is. `simulator.tasks` counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal


class Task(StrEnum):
    """What a network is asked to do.

    CLASSIFICATION: logits `[N, C]` against classes `[N]`, or one logit `[N]` or `[N, 1]` of the second of two
    classes. MULTI_LABEL: logits `[N, L]` against zeros and ones.
    TOKEN_CLASSIFICATION and NEXT_TOKEN: `[N, P, C]`, or `[N, C, P]` with one or more dimensions of positions,
    against classes `[N, P]`. REGRESSION: values against values.
    """

    CLASSIFICATION = "classification"
    MULTI_LABEL = "multi_label"
    TOKEN_CLASSIFICATION = "token_classification"  # noqa: S105 - no password
    NEXT_TOKEN = "next_token"  # noqa: S105 - no password
    REGRESSION = "regression"

    @property
    def has_classes(self) -> bool:
        """Whether the targets are class indices."""
        return self in (Task.CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.NEXT_TOKEN)


@dataclass(frozen=True)
class Count:
    """Something that is counted or summed over a test set, so that parts of it add up exactly.

    Attributes:
        name: in the database and in every answer.
        kind: of its values.
        meaning: in words.
    """

    name: str
    kind: Literal["integer", "real"]
    meaning: str


# In the order of columns. What a task does not have is absent, and so is a sum that is not finite.
COUNTS: Final = (
    Count("correct", "integer", "right answers; absent for a regression"),
    Count("total", "integer", "samples; of other tasks positions, or labels of all samples"),
    Count("loss_sum", "real", "sum of the loss over samples; absent if it is not finite"),
    Count("abs_error_sum", "real", "sum of absolute errors, of a regression"),
    Count("correct_top5", "integer", "right classes among the five likeliest"),
    Count("target_spread", "real", "sum of the targets' squared deviations from their mean, of a regression"),
)
Counts = Mapping[str, float | None]


class Metric(StrEnum):
    """The number that a task is judged by."""

    ACCURACY = "accuracy"
    MSE = "mse"
    PERPLEXITY = "perplexity"

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value is the better one."""
        return self is Metric.ACCURACY

    def within_limits(self, ends: Sequence[float]) -> list[float]:
        """Return an interval of a mean without what the metric cannot be: Student's t knows no limits.

        Args:
            ends: lower and upper end, in the metric's unit.
        """
        low, high = _LIMITS[self]
        return [min(max(end, low), high) for end in ends]


_LIMITS: Final = {
    Metric.ACCURACY: (0.0, 1.0),
    Metric.MSE: (0.0, math.inf),
    Metric.PERPLEXITY: (1.0, math.inf),
}


class Form(StrEnum):
    """How a quantity follows from the ratio of two counts."""

    RATIO = "ratio"
    EXPONENTIAL = "exponential"
    ONE_MINUS = "one_minus"


@dataclass(frozen=True)
class Quantity:
    """A number that follows from two counts.

    Attributes:
        name: in answers.
        of: the count above the line.
        per: the count below the line.
        meaning: in words, with its unit.
        form: what becomes of their ratio.
        optional: left out where `of` was not counted, rather than null.
    """

    name: str
    of: str
    per: str
    meaning: str
    form: Form = Form.RATIO
    optional: bool = False

    def value(self, counts: Counts) -> float | None:
        """Return the quantity of one pass over a test set; None where its counts are absent or zero."""
        above, below = counts.get(self.of), counts.get(self.per)
        if above is None or not below:
            return None
        ratio = above / below
        if self.form is Form.EXPONENTIAL:
            return math.exp(ratio) if ratio < LARGEST_EXPONENT else None
        return 1 - ratio if self.form is Form.ONE_MINUS else ratio


LARGEST_EXPONENT: Final = 700.0  # of what a double can hold
QUANTITIES: Final = {
    one.name: one
    for one in (
        Quantity("accuracy", "correct", "total", "test accuracy"),
        Quantity("mse", "loss_sum", "total", "mean squared error"),
        Quantity("perplexity", "loss_sum", "total", "perplexity", Form.EXPONENTIAL),
        Quantity("loss", "loss_sum", "total", "mean loss per sample, position or label"),
        Quantity("mae", "abs_error_sum", "total", "mean absolute error per sample, of a regression"),
        Quantity(
            "r2",
            "loss_sum",
            "target_spread",
            "share of the targets' variance that is explained, of a regression",
            Form.ONE_MINUS,
        ),
        Quantity(
            "top5",
            "correct_top5",
            "total",
            "share of right classes among the five likeliest, with more than five classes",
            optional=True,
        ),
    )
}
# Given as means over chips beside the metric, `loss_mean` and so on.
BESIDE: Final = ("loss", "mae", "r2", "top5")


@dataclass(frozen=True)
class TaskFacts:
    """What is known of a task.

    Attributes:
        metric: what it is judged by.
        baseline: the quantities and counts of a floating-point result, in the order of the answer.
    """

    metric: Metric
    baseline: tuple[str, ...]


_OF_CLASSES = ("accuracy", "correct", "total", "loss", "top5")
TASKS: Final = {
    Task.CLASSIFICATION: TaskFacts(Metric.ACCURACY, _OF_CLASSES),
    Task.MULTI_LABEL: TaskFacts(Metric.ACCURACY, _OF_CLASSES),
    Task.TOKEN_CLASSIFICATION: TaskFacts(Metric.ACCURACY, _OF_CLASSES),
    Task.NEXT_TOKEN: TaskFacts(Metric.PERPLEXITY, (*_OF_CLASSES, "perplexity")),
    Task.REGRESSION: TaskFacts(Metric.MSE, ("mse", "mae", "r2", "total")),
}


DEFAULT_DROP: Final = 0.01  # of an accuracy: one percentage point
DEFAULT_FACTOR: Final = 1.1  # of a metric that grows as the network gets worse


def default_threshold(metric: Metric, digital: float | None) -> float | None:
    """Return the worst value of a metric that counts as good by default; None without a digital one."""
    if digital is None:
        return None
    return max(0.0, digital - DEFAULT_DROP) if metric.higher_is_better else digital * DEFAULT_FACTOR
