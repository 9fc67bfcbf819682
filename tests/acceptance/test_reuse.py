"""What was computed before is not computed again: same job, more repeats, another try."""

from __future__ import annotations

from typing import Any

from driftline import Driftline
from tests.waiting import until

from .conftest import MODEL, StartService, small_job


def finished(driftline: Driftline, job: dict[str, Any]) -> dict[str, Any]:
    job = driftline.wait(job["id"])
    assert job["state"] == "succeeded", job["failure"]
    return job


def cells(driftline: Driftline, job: dict[str, Any]) -> list[dict[str, Any]]:
    return list(driftline.results(job["id"], cells=True)["cells"])


def started_items(driftline: Driftline, job: dict[str, Any]) -> list[str]:
    return [
        event["data"]["item"]
        for event in driftline.events(job["id"], follow=False)
        if event["type"] == "item.started"
    ]


def test_a_known_job_is_answered_at_once_and_a_longer_one_computes_the_rest(
    start_service: StartService,
) -> None:
    with start_service() as (_, driftline):
        model = driftline.upload_model(MODEL)["id"]
        first = finished(driftline, driftline.submit(small_job(model)))
        assert first["cached_from"] == []

        again = driftline.submit(small_job(model, name="again"))
        assert again["state"] == "succeeded"
        assert again["cached_from"] == [first["id"]]
        assert again["progress"]["fraction"] == 1.0
        assert driftline.results(again["id"], cells=True)["cells"] == cells(driftline, first)
        assert driftline.results(again["id"])["baseline"] == driftline.results(first["id"])["baseline"]
        for name in (
            "finetuned.onnx",
            "analog_state.safetensors",
            "conductances.safetensors",
            "conversion.json",
        ):
            assert driftline.artifact(again["id"], name) == driftline.artifact(first["id"], name)

        driftline.delete(first["id"])  # the copy stands on its own
        assert len(driftline.artifact(again["id"], "finetuned.onnx")) > 1000

        longer = finished(driftline, driftline.extend(again["id"], repeats=6, t_inference=[60]))
        assert longer["extends"] == again["id"]
        items = started_items(driftline, longer)
        assert all(item.startswith("evaluate:") for item in items), items
        computed = cells(driftline, longer)
        assert len(computed) == 2 * 6 * 4
        known = cells(driftline, again)
        assert [cell for cell in computed if cell in known] == known

        compared = driftline.compare(again["id"], longer["id"])
        gaps = [gap for point in compared["points"] for gap in point["differences"]]
        assert [(gap["method"], gap["pairs"], gap["mean"]) for gap in gaps] == [("paired", 5, 0.0)] * 6
        assert [one["pointer"] for one in compared["differences"]] == [
            "/spec/evaluate/repeats",
            "/spec/evaluate/t_inference",
        ]

        spec = small_job(model)
        spec["evaluate"] |= {"repeats": 6, "t_inference": [1, 60, 3600, 31536000]}
        fresh = finished(driftline, driftline.submit(spec, fresh=True))
        assert fresh["cached_from"] == []
        assert cells(driftline, fresh) == computed

        other_seed = driftline.submit(small_job(model, seed=8))
        assert other_seed["state"] != "succeeded"
        assert not driftline.results(other_seed["id"], cells=True)["cells"]
        driftline.cancel(other_seed["id"])


def test_a_retried_job_goes_on_from_the_last_checkpoint(start_service: StartService) -> None:
    with start_service() as (_, driftline):
        model = driftline.upload_model(MODEL)["id"]
        spec = small_job(model)
        spec["finetune"]["epochs"] = 6
        undisturbed = finished(driftline, driftline.submit(spec, fresh=True))

        job = driftline.submit(spec, fresh=True)
        until(lambda: len(driftline.history(job["id"])["epochs"]) >= 2, "two epochs")
        driftline.cancel(job["id"])
        assert driftline.wait(job["id"], raise_on_failure=False)["state"] == "cancelled"
        assert len(driftline.history(job["id"])["epochs"]) < 6, "cancelled too late to tell anything"
        before = cells(driftline, undisturbed)
        driftline.delete(undisturbed["id"])

        retried = driftline.retry(job["id"])
        assert retried["retry_of"] == job["id"]
        assert retried["progress"]["done"] >= 2 * 640
        retried = finished(driftline, retried)
        assert cells(driftline, retried) == before
        assert [one["epoch"] for one in driftline.history(retried["id"])["epochs"]] == list(range(6))


NOISELESS = {"modifier": {"type": "None", "std_dev": 0.0}, "forward": {"is_perfect": True}}


def test_a_network_is_trained_once_and_evaluated_on_other_hardware(start_service: StartService) -> None:
    with start_service() as (_, driftline):
        model = driftline.upload_model(MODEL)["id"]
        silent = small_job(model)
        silent["rpu_config"] = {"preset": "PCMExamplePreset", "overrides": NOISELESS}
        first = finished(driftline, driftline.submit(silent))

        noisy = small_job(model)
        noisy["finetune"]["rpu_config"] = NOISELESS
        noisy["evaluate"]["t_inference"] = [1, 60]
        noisy["evaluate"]["repeats"] = 2
        taken = finished(driftline, driftline.submit(noisy))
        assert taken["cached_from"] == [first["id"]]
        assert not [item for item in started_items(driftline, taken) if item.startswith("finetune")]
        assert driftline.history(taken["id"])["epochs"] == driftline.history(first["id"])["epochs"]

        fresh = finished(driftline, driftline.submit(noisy, fresh=True))
        assert "finetune:hwa" in started_items(driftline, fresh)
        assert cells(driftline, taken) == cells(driftline, fresh)
        networks = [driftline.artifact(job["id"], "finetuned.onnx") for job in (first, taken, fresh)]
        assert networks[0] == networks[1] == networks[2]

        itself = small_job(model)
        itself["evaluate"] |= {"t_inference": [1, 60], "repeats": 2}
        trained_with_noise = finished(driftline, driftline.submit(itself))
        assert "finetune:hwa" in started_items(driftline, trained_with_noise)
        assert driftline.artifact(trained_with_noise["id"], "finetuned.onnx") != networks[0]
