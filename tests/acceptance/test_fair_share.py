"""Fair share with real workers: a small job starts while a large one runs, and both have the same numbers."""

from __future__ import annotations

from typing import Any

import pytest

from driftline import Driftline
from tests.acceptance.conftest import MODEL, StartService, finished
from tests.waiting import until

LARGE = {"t_inference": [1, 3600, 86400, 31536000], "repeats": 40, "max_samples": 200, "batch_size": 100}
SMALL = {**LARGE, "t_inference": [1], "repeats": 2}


def job(model: str, evaluate: dict[str, Any], **changes: Any) -> dict[str, Any]:
    variants = {"variants": ["digital", "direct"]}
    return {
        "model": model, "dataset": "builtin:mnist10k", "rpu_config": {"preset": "PCMExamplePreset"},
        "evaluate": {**evaluate, **variants}, "seed": 3, **changes,
    }  # fmt: skip


def begins(driftline: Driftline, job_id: str, prefix: str) -> bool:
    return any(
        one["type"] == "item.started" and one["data"]["item"].startswith(prefix)
        for one in driftline.request("GET", f"/v1/jobs/{job_id}/events", params={"limit": 200})["items"]
    )


@pytest.mark.parametrize("project", ["the same", "another"])
def test_a_small_job_starts_and_ends_while_a_large_one_runs(
    start_service: StartService, backend: dict[str, Any], project: str
) -> None:
    with start_service(**backend, repeats_per_shard=40) as (service, nobody):
        admin = nobody.add_key("first", project="default", scopes=["admin"])["key"]
        with Driftline(service.url, api_key=admin) as first:
            name = "default" if project == "the same" else "second"
            key = first.add_key("second", project=name, scopes=["read", "submit"])["key"]
            large = first.submit(job(first.upload_model(MODEL).id, LARGE))
            until(lambda: begins(first, large.id, "evaluate"), "the large job to evaluate")
            with Driftline(service.url, api_key=key) as second:
                small = second.submit(job(second.upload_model(MODEL).id, SMALL, seed=4))
                small.wait()
                assert small.state == "succeeded"
                assert first.job(large.id).state == "running"
                alone = second.submit(job(second.upload_model(MODEL).id, SMALL, seed=4), fresh=True)
                found = finished(first, large.id)
                again = finished(second, alone.id)
                assert again["cells"] == small.results(cells=True)["cells"]
            assert len(found["cells"]) == 40 * 4
            events = first.request("GET", f"/v1/jobs/{large.id}/events", params={"limit": 200})["items"]
            reasons = [one["data"].get("reason") for one in events if one["type"] == "item.requeued"]
            assert "gave_way" in reasons
            assert first.job(large.id)["attempt"] == 1
            undisturbed = first.submit(job(large["spec"]["model"], LARGE), fresh=True)
            assert finished(first, undisturbed.id)["cells"] == found["cells"]
