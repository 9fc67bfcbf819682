"""The form of a new job: what may be chosen, and what a job to start from says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from app.configs.repository import ConfigRepository
from app.configs.schemas import Preset
from app.configs.service import presets
from app.datasets.schemas import DatasetView
from app.datasets.service import DatasetService
from app.db.tables import Model, RpuConfig
from app.jobs.service import JobService
from app.models.service import ModelService
from app.pages import words
from app.pages.views.job_list import name_of
from simulator.config import Variant
from simulator.cost import profile_names, shipped_profile

_CHOICES: Final = 100
_TIMES: Final = (0.0, 1.0, 60.0, 3600.0, 86_400.0, 604_800.0, 2_592_000.0, 31_536_000.0, 315_360_000.0)
_CHOSEN: Final = (1.0, 3600.0, 86_400.0, 2_592_000.0, 31_536_000.0)


@dataclass(frozen=True)
class NewPage:
    """What the form offers.

    Attributes:
        models: uploaded ones, newest first.
        datasets: uploaded ones, then built-in ones.
        presets: named configurations.
        stored: stored configurations.
        profiles: hardware profiles, and what they are of.
        times: that are a click away: seconds, words, whether they are chosen at first.
        variants: and what they mean.
        start: the specification to start from; None for an empty form.
        start_name: the name of the job that it is of.
    """

    models: Sequence[Model]
    datasets: Sequence[DatasetView]
    presets: Sequence[Preset]
    stored: Sequence[RpuConfig]
    profiles: Sequence[tuple[str, str]]
    times: Sequence[tuple[float, str, bool]]
    variants: Sequence[tuple[str, str]]
    start: dict[str, Any] | None
    start_name: str | None


def new_page(session: Session, start_from: str | None) -> NewPage:
    """Return what the form of a new job offers; NotFound if the job to start from does not exist."""
    start = start_name = None
    if start_from is not None:
        job = JobService(session).get(start_from)
        start, start_name = job.spec, name_of(job)
    return NewPage(
        models=ModelService(session).models.listing(before_id=None, limit=_CHOICES),
        datasets=DatasetService(session).listing(after=None, limit=_CHOICES),
        presets=presets(),
        stored=ConfigRepository(session).listing(before_id=None, limit=_CHOICES),
        profiles=[(name, shipped_profile(name).description) for name in profile_names()],
        times=[(time, words.duration(time), time in _CHOSEN) for time in _TIMES],
        variants=[(variant, words.VARIANT_MEANINGS[variant]) for variant in Variant],
        start=start,
        start_name=start_name,
    )
