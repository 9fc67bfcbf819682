"""An analysis of a job with all that its answer is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.analyses.estimates import FEW_CHIPS, column, estimate
from app.analyses.schemas import TotalView
from app.engine.kinds.analyses.losses import Measured
from app.engine.kinds.analyses.subject import Subject
from driftline.times import in_words
from simulator.config.analyses import AnalysisConfig
from simulator.config.tasks import Metric

_KEPT: Final = 0.25  # of what digital has above guessing: with less, chips are near chance


@dataclass(frozen=True)
class Asked:
    """An analysis, and what there is of it by now.

    Attributes:
        job_id: the job's.
        title: of pictures.
        analysis: what was asked.
        subject: the job as its analyses see it.
        measured: what was measured.
        complete: whether all that it evaluates is there.
        rpu_config: the job's, as it was written.
        layers: the job's, as they were written; None without.
        classes: among which the network chooses; None where it does not, or where they are not known.
    """

    job_id: str
    title: str
    analysis: AnalysisConfig
    subject: Subject
    measured: Measured
    complete: bool
    rpu_config: Mapping[str, Any]
    layers: Mapping[str, Any] | None
    classes: int | None

    def points(self) -> Iterator[tuple[str, float]]:
        """Yield each variant at each time."""
        for variant in self.analysis.variants_of(self.subject.spec):
            for t_inference_s in self.analysis.times_s(self.subject.spec):
                yield variant.value, t_inference_s

    def losses(
        self, settings: list[str | None], variant: str, t_inference_s: float
    ) -> list[list[float]] | None:
        """Return what chips lose under several settings; see `Measured.losses`."""
        chips = self.analysis.chips_of(self.subject.spec)
        return self.measured.losses(settings, variant, t_inference_s, chips)

    def common(self) -> dict[str, Any]:
        """Return the fields that all answers have."""
        totals = [self._total(variant, t) for variant, t in self.points()]
        return {
            "type": self.analysis.type,
            "job": self.job_id,
            "complete": self.complete,
            "metric": self.measured.metric,
            "totals": totals,
            "notes": list(self._notes(totals)),
        }

    def _total(self, variant: str, t_inference_s: float) -> TotalView:
        rows = self.losses([None], variant, t_inference_s)
        return TotalView(
            variant=variant,
            t_inference=t_inference_s,
            digital=self.measured.digital.get(variant),
            total=estimate(column(rows, 0)),
            repeats=0 if rows is None else len(rows),
        )

    def _notes(self, totals: list[TotalView]) -> Iterator[str]:
        chips = self.analysis.chips_of(self.subject.spec)
        if chips == 1:
            yield "All of it rests on one chip, so there are no intervals; other chips may differ."
        elif chips < FEW_CHIPS:
            yield f"All of it rests on {chips} chips: the intervals are wide, and hardly wide enough."
        for one in totals:
            if self.is_near_chance(one):
                yield (
                    f"{one.variant} at {in_words(one.t_inference)} is near chance: losses cannot grow any "
                    "more, so that what each effect costs beside the others is understated; what it costs "
                    "alone is not."
                )

    def is_near_chance(self, one: TotalView) -> bool:
        """Return whether a variant keeps hardly anything of what digital has above guessing."""
        if self.measured.metric is not Metric.ACCURACY or not self.classes or one.digital is None:
            return False
        if one.total is None or one.total.mean is None:
            return False
        lead = one.digital - 1 / self.classes
        return lead > 0 and lead - one.total.mean < _KEPT * lead
