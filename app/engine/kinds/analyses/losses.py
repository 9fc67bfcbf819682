"""What analyses compare: metrics of chips under their settings, the job's own, and the digital ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import AnalysisRow, Baseline, Cell, Job
from app.engine.specification import task_of
from simulator.config import Variant
from simulator.config.tasks import QUANTITIES, TASKS, Metric

Place = tuple[str, float, int]  # variant, time in s, chip


@dataclass(frozen=True)
class Measured:
    """What has been measured for one analysis of a job.

    Attributes:
        metric: what the job is judged by.
        digital: the metric of each variant's network in floating point; of `direct` as uploaded.
        own: the metric of the job's own cells.
        settings: the metric under each setting, by its key and place; None where it is not finite.
        seen: the rows that count nothing, by setting and place: what the analysis saw otherwise.
        coordinates: what each setting is, by its key.
    """

    metric: Metric
    digital: Mapping[str, float | None]
    own: Mapping[Place, float | None]
    settings: Mapping[tuple[str, Place], float | None]
    seen: Mapping[tuple[str, Place], Mapping[str, Any]]
    coordinates: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, session: Session, job: Job, analysis: str) -> Measured:
        """Return what the job has of an analysis by now, in an order that does not depend on who found it."""
        quantity = QUANTITIES[TASKS[task_of(job)].metric]
        baselines = session.scalars(select(Baseline).where(Baseline.job_id == job.id))
        by_model = {row.variant: quantity.value(row.counts) for row in baselines}
        rows = session.scalars(
            select(AnalysisRow)
            .where(AnalysisRow.job_id == job.id, AnalysisRow.analysis == analysis)
            .order_by(AnalysisRow.setting, AnalysisRow.variant, AnalysisRow.t_inference, AnalysisRow.repeat)
        ).all()
        cells = session.execute(
            select(Cell.variant, Cell.t_inference, Cell.repeat, Cell.counts).where(Cell.job_id == job.id)
        )
        digital = by_model.get(Variant.DIGITAL)
        counted = [row for row in rows if "total" in row.counts]
        return cls(
            metric=Metric(quantity.name),
            digital={
                one.value: by_model.get(one.value) if one.is_trained else digital
                for one in Variant
                if one.is_analog
            },
            own={(one.variant, one.t_inference, one.repeat): quantity.value(one.counts) for one in cells},
            settings={(one.setting, _place(one)): quantity.value(one.counts) for one in counted},
            seen={(one.setting, _place(one)): one.counts for one in rows if "total" not in one.counts},
            coordinates={one.setting: one.coordinates for one in rows},
        )

    def has(self, setting: str | None, place: Place) -> bool:
        """Return whether a setting was measured at a place; None is the job's own."""
        return place in self.own if setting is None else (setting, place) in self.settings

    def loss(self, setting: str | None, place: Place) -> float | None:
        """Return what is lost against digital, in the metric's unit; positive is worse.

        Args:
            setting: its key; None is the job's own hardware.
            place: variant, time and chip; it was measured there.

        Returns:
            None where a metric is not finite, or the digital one not known.
        """
        value = self.own[place] if setting is None else self.settings[setting, place]
        digital = self.digital.get(place[0])
        if value is None or digital is None:
            return None
        return digital - value if self.metric.higher_is_better else value - digital

    def losses(
        self, settings: Sequence[str | None], variant: str, t_inference_s: float, chips: int
    ) -> list[list[float]] | None:
        """Return the losses of each chip under several settings, of the chips that have them all.

        Returns:
            A row for each chip, in the order of the settings; None where one of them is not finite.
        """
        rows: list[list[float]] = []
        for chip in range(chips):
            place = (variant, t_inference_s, chip)
            if not all(self.has(setting, place) for setting in settings):
                continue
            found = [self.loss(setting, place) for setting in settings]
            if None in found:
                return None
            rows.append([one for one in found if one is not None])
        return rows


def _place(row: AnalysisRow) -> Place:
    return (row.variant, row.t_inference, row.repeat)
