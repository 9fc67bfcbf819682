"""Webhooks of a whole service: jobs done by real workers are told to a real receiver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.receiver import Receiver
from tests.waiting import until

from .conftest import MODEL, StartService, small_job


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def test_what_happens_to_a_job_is_told_once_and_in_order(
    start_service: StartService, backend: dict[str, Any], receiver: Receiver
) -> None:
    with start_service(**backend, workers=2, webhook_allow_private=True) as (service, driftline):
        hook = {"url": f"http://127.0.0.1:{receiver.port}/hook"}
        with httpx.Client(base_url=service.url, timeout=30) as http:
            webhook = http.post("/v1/webhooks", json=hook).raise_for_status().json()
            model = driftline.upload_model(MODEL)
            job = small_job(model["id"], finetune=None)
            job["evaluate"] = {**job["evaluate"], "repeats": 1, "variants": ["digital", "direct"]}
            job = driftline.wait(driftline.submit(job)["id"])
            assert job["state"] == "succeeded", job["failure"]
            until(lambda: len(receiver.requests) >= 2, "the webhook's messages")
            bodies = [json.loads(body) for _, _, body in receiver.requests]
            assert [body["type"] for body in bodies] == ["job.running", "job.succeeded"]
            assert {body["data"]["job"]["id"] for body in bodies} == {job["id"]}

            def delivered() -> list[dict[str, Any]]:
                log = http.get(f"/v1/webhooks/{webhook['id']}/deliveries").raise_for_status().json()["items"]
                return log if all(one["state"] == "delivered" for one in log) else []

            log = until(delivered, "the log of the deliveries")
            assert [one["type"] for one in log] == ["job.succeeded", "job.running"]
            assert all(len(one["attempts"]) == 1 for one in log)
            assert len(receiver.requests) == 2
