"""What all analyses share: which chips, times and networks they look at, and what they evaluate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field

from simulator.config.base import TypedConfig
from simulator.config.evaluation import MAX_TIMES, Repeats, Variant
from simulator.config.faults import Fault
from simulator.config.maintenance import Schedule, ServiceKind
from simulator.config.tasks import Metric
from simulator.config.times import TimeAfterProgramming

if TYPE_CHECKING:
    from simulator.config.job import JobSpec

DEFAULT_CHIPS: Final = 10
Course = tuple[Schedule, Sequence[float]]  # what is done to a chip, and at which times it is judged, in s
Times = Annotated[tuple[TimeAfterProgramming, ...], Field(min_length=1, max_length=MAX_TIMES)]


class AnalysisConfig(TypedConfig):
    """Family of the analyses."""

    family = "analysis"

    t_inference: Times | None = Field(
        default=None,
        description="Times after programming in s, some of the job's; null: the job's last time.",
    )
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] | None = Field(
        default=None, description="Networks, some of the job's analog ones; null: all of them."
    )
    repeats: Repeats | None = Field(
        default=None, description="Number of chips, the job's first; null: the job's, at most 10."
    )

    def times_s(self, job: JobSpec) -> tuple[float, ...]:
        """Return the times after programming in s, rising."""
        asked = job.evaluate.t_inference[-1:] if self.t_inference is None else self.t_inference
        return tuple(sorted(set(asked)))

    def variants_of(self, job: JobSpec) -> tuple[Variant, ...]:
        """Return the networks, in the order of `Variant`."""
        return tuple(one for one in job.analog if self.variants is None or one in self.variants)

    def chips_of(self, job: JobSpec) -> int:
        """Return the number of chips, none of which depends on what the job finds."""
        return min(job.evaluate.fewest_repeats, DEFAULT_CHIPS) if self.repeats is None else self.repeats

    @property
    def services(self) -> tuple[ServiceKind, ...]:
        """What it does to chips beside the job's own schedule, in the order of its field `do`."""
        return ()

    def course_of(self, coordinates: Mapping[str, Any]) -> Course | None:
        """Return what is done to chips under a setting, and when they are judged.

        Args:
            coordinates: of the setting.

        Returns:
            None where it is the job's schedule, and each time of the analysis has a row; else the row is the
            worst of the judged times.
        """
        del coordinates
        return None

    def faults(self, job: JobSpec) -> Iterator[Fault]:
        """Yield what of its own fields does not fit the job, located in the analysis."""
        del job
        yield from ()

    def metric_faults(self, metric: Metric) -> Iterator[Fault]:
        """Yield what of its own fields does not fit what the job is judged by, located in the analysis."""
        del metric
        yield from ()


@dataclass(frozen=True)
class Setting:
    """Something that an analysis evaluates in place of the job's own network and hardware.

    Attributes:
        key: names it within the analysis, the same in every job; at most 64 characters.
        coordinates: what it is, as JSON.
        observes: it is looked at on the first chip, and does not count over the test set.
        passes: over the test set, for a chip at a time of the analysis.
    """

    key: str
    coordinates: Mapping[str, Any]
    observes: bool = False
    passes: int = 1


def analysis_faults(job: JobSpec) -> list[Fault]:
    """Return what of a job's analyses does not fit the job, located in the job."""
    return [
        fault for number, one in enumerate(job.analyses) for fault in _faults(f"/analyses/{number}", one, job)
    ]


def _faults(place: str, one: AnalysisConfig, job: JobSpec) -> Iterator[Fault]:
    evaluate = job.evaluate
    unknown = [t for t in one.t_inference or () if t not in evaluate.t_inference]
    if unknown:
        yield Fault(
            f"{place}/t_inference",
            "not_evaluated",
            f"the job does not evaluate at {', '.join(f'{t:g}' for t in unknown[:5])} s",
            "add the time to evaluate.t_inference",
        )
    others = [variant.value for variant in one.variants or () if variant not in job.analog]
    if others:
        analog = ", ".join(variant.value for variant in job.analog) or "none"
        yield Fault(
            f"{place}/variants",
            "not_evaluated",
            f"{', '.join(others)} is not among the job's analog variants ({analog})",
            "add it to evaluate.variants, or leave variants out",
        )
    elif not job.analog:
        yield Fault(
            place,
            "not_evaluated",
            "an analysis looks at analog variants, and the job has none",
            'add "direct" to evaluate.variants',
        )
    field = "evaluate.repeats" if evaluate.until is None else "evaluate.repeats.at_least"
    if one.repeats is not None and one.repeats > evaluate.fewest_repeats:
        yield Fault(
            f"{place}/repeats",
            "not_evaluated",
            f"the job is sure to have {evaluate.fewest_repeats} chips, fewer than the {one.repeats} that its"
            " analysis looks at",
            f"raise {field}, or ask for fewer",
        )
    for fault in one.faults(job):
        yield replace(fault, pointer=place + fault.pointer)
