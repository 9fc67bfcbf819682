"""Chips in waves on real services: as many as the rule says, the same cells, the same after a kill."""

from __future__ import annotations

from typing import Any

from app.engine.kinds.inference.waves import next_wave
from driftline import Driftline
from simulator.config.evaluation import RepeatsUntil
from tests.waiting import until

from .conftest import MODEL, StartService, kill, runners_of

UNTIL = {"until_ci95": 0.02, "at_least": 4, "at_most": 24}


def asked(model: str, repeats: Any, **changes: Any) -> dict[str, Any]:
    """A job of a few seconds without training, whose chips differ by several points."""
    evaluate = {
        "t_inference": [1, 86400], "repeats": repeats, "batch_size": 100, "max_samples": 100,
        "variants": ["digital", "direct"],
    }  # fmt: skip
    rpu_config = {"preset": "PCMExamplePreset", "overrides": {"forward": {"w_noise": 0.1, "out_noise": 0.1}}}
    job = {
        "model": model, "dataset": "builtin:mnist10k", "rpu_config": rpu_config, "evaluate": evaluate, "seed": 7
    }  # fmt: skip
    return {**job, **changes}


def done(driftline: Driftline, job: Any) -> Any:
    job = driftline.wait(job["id"])
    assert job["state"] == "succeeded", job["failure"]
    return job


def cells(driftline: Driftline, job: Any) -> list[dict[str, Any]]:
    return sorted(driftline.results(job["id"], cells=True)["cells"], key=str)


def chips(driftline: Driftline, job: Any) -> set[int]:
    return {cell["repeat"] for cell in cells(driftline, job)}


def by_the_rule(known: list[dict[str, Any]]) -> int:
    """Return the number of chips with which a job ends that would find these cells."""
    rule = RepeatsUntil.model_validate(UNTIL)
    total = rule.at_least
    while True:
        metrics: dict[tuple[str, float], list[float | None]] = {}
        for cell in sorted(known, key=lambda one: int(one["repeat"])):
            if cell["repeat"] < total:
                place = (cell["variant"], cell["t_inference"])
                metrics.setdefault(place, []).append(cell["correct"] / cell["total"])
        more = next_wave(rule, metrics, total)
        if not more:
            return total
        total = more.stop


def test_a_job_in_waves_has_the_cells_of_one_with_as_many_chips_also_after_kills(
    start_service: StartService,
) -> None:
    with start_service() as (service, driftline):
        model = driftline.upload_model(MODEL)["id"]
        most = done(driftline, driftline.submit(asked(model, UNTIL["at_most"])))
        ends_with = by_the_rule(cells(driftline, most))
        assert ends_with > UNTIL["at_least"], "the rule never asks for a second wave here"
        expected = [cell for cell in cells(driftline, most) if cell["repeat"] < ends_with]

        worker = service.process_id("worker 0")
        waves = driftline.submit(asked(model, UNTIL, name="killed"), fresh=True)
        for begun in (3, 5):  # within the first wave, and around the beginning of the second
            until(lambda n=begun: len(chips(driftline, waves)) >= n, "some chips")
            kill(until(lambda: runners_of(worker), "a runner")[0])
        waves = done(driftline, waves)
        assert waves["cached_from"] == []
        assert waves["attempt"] >= 2, "no kill hit an item"
        assert cells(driftline, waves) == expected

        again = driftline.submit(asked(model, UNTIL, name="again"))
        assert again["state"] == "succeeded"
        assert cells(driftline, again) == expected
