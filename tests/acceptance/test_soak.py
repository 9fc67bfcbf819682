"""Fifty jobs while processes are killed at random moments; `make soak` does the same with a thousand."""

from __future__ import annotations

from tests.conftest import TO_BE_SEEN
from worker.local import LocalService

from .conftest import watched
from .soak import Findings, Rhythm, soak, soak_settings


def test_what_was_accepted_ends_with_the_same_cells_whatever_is_killed(
    postgres_url: str, redis_url: str, tmp_path, record_property
) -> None:
    settings = soak_settings(data_dir=tmp_path, database_url=postgres_url, redis_url=redis_url)
    with LocalService(settings, workers=2) as service, watched(service):
        found = soak(service, Rhythm(seed=1, pause_s=(2.0, 8.0)), jobs=50)
    record_property(
        TO_BE_SEEN,
        f"soak: {len(found.accepted)} jobs, {found.jobs_a_second:.2f} a second, killed {dict(found.kills)}, "
        f"API {found.before} -> {found.after}",
    )
    assert len(found.accepted) == 50
    assert sum(found.kills.values()) >= 5, "too little was killed to tell anything"
    assert found.faults() == []
    assert found.after[1] <= found.before[1] + 10, "the API keeps descriptors"
    assert found.after[2] <= found.before[2] + 10, "connections are kept"


def test_a_soak_that_lost_a_job_would_say_so() -> None:
    found = Findings(accepted={"a": 0, "b": 0}, cells={0: [[1], [2]]}, recorded={"a": 1, "b": 2})
    found.states["succeeded"] += 1
    found.endings = {"a": 1, "b": 2}
    assert len(found.faults()) == 4
