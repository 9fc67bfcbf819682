"""A job that ends near chance says so, and points to the analyses."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from app.db.session import Database
from app.db.tables import Baseline, Cell, Job
from app.engine.kinds import next_round
from app.engine.states import lock
from tests.unit.app.conftest import MakeJob


def conclude(database: Database, job_id: str) -> list[dict[str, str]]:
    with database.transaction() as session:
        job = lock(session, job_id)
        assert job is not None
        assert list(next_round(session, job)) == []
    with database.reading() as session:
        return list(session.get_one(Job, job_id).warnings)


@pytest.fixture
def job_id(database: Database, make_job: MakeJob) -> str:
    """A job on ten classes (`builtin:digits`)."""
    return make_job(("evaluate:direct:0", []))


def found(database: Database, job_id: str, digital: float, *cells: tuple[str, float, float]) -> None:
    """Store a digital result, and (variant, time, accuracy) of chips."""
    with database.transaction() as session:
        counts = {"correct": round(100 * digital), "total": 100}
        session.add(Baseline(job_id=job_id, variant="digital", counts=counts, metric=digital, loss=1.0))
        for repeat, (variant, t_inference, accuracy) in enumerate(cells):
            counts = {"correct": round(100 * accuracy), "total": 100}
            session.add(
                Cell(
                    job_id=job_id, variant=variant, repeat=repeat, t_inference=t_inference, counts=counts,
                    metric=accuracy, loss=1.0,
                )
            )  # fmt: skip


def test_a_variant_near_chance_at_the_first_time_is_warned_of(database: Database, job_id: str) -> None:
    found(database, job_id, 0.95, ("direct", 1.0, 0.11), ("direct", 1.0, 0.13), ("hwa", 1.0, 0.9))
    [warning] = conclude(database, job_id)
    assert (warning["code"], warning["pointer"]) == ("near_chance", "/analyses")
    assert warning["message"].startswith("direct at 1 s is right in 12.0%")
    assert "error_budget and advice" in warning["message"]


@pytest.mark.parametrize(
    ("digital", "cells"),
    [
        (0.95, [("direct", 1.0, 0.6)]),
        (0.95, [("direct", 1.0, 0.9), ("direct", 3600.0, 0.1)]),
        (0.12, [("direct", 1.0, 0.1)]),
        (0.95, []),
    ],
    ids=["lost something", "lost it later", "digital guesses, too", "no cells"],
)
def test_other_results_are_not_warned_of(
    database: Database, job_id: str, digital: float, cells: list[tuple[str, float, float]]
) -> None:
    found(database, job_id, digital, *cells)
    assert conclude(database, job_id) == []


def test_outputs_that_are_not_finite_are_told_by_variant(database: Database, job_id: str) -> None:
    found(database, job_id, 0.95, ("direct", 1.0, 0.9), ("direct", 60.0, 0.9), ("hwa", 1.0, 0.9))
    with database.transaction() as session:
        for cell in session.scalars(select(Cell).where(Cell.variant == "direct", Cell.t_inference == 60.0)):
            cell.loss = None
    [warning] = conclude(database, job_id)
    assert (warning["code"], warning["pointer"]) == ("non_finite_outputs", "/rpu_config")
    assert warning["message"].startswith("outputs of direct are not finite in 1 of 2 cells")


def test_a_network_that_is_not_finite_itself_is_told(database: Database, job_id: str) -> None:
    found(database, job_id, 0.95, ("direct", 1.0, 0.9))
    with database.transaction() as session:
        session.scalars(select(Baseline)).one().loss = None
    [warning] = conclude(database, job_id)
    assert (warning["code"], warning["pointer"]) == ("non_finite_outputs", "/model")
