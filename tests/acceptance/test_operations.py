"""What operators see of a job: its log from the request to the runner, its trace, and the workers' metrics."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.acceptance.conftest import MODEL, small_job
from tests.receiver import Receiver
from tests.waiting import until

REQUEST = "the-request-that-submits"


@pytest.fixture
def collector():
    """A receiver of OTLP over HTTP."""
    receiver = Receiver()
    receiver.status = 200
    yield receiver
    receiver.close()


def spans(receiver):
    """All spans that arrived, each with the service that made it."""
    found = []
    for _, headers, body in list(receiver.requests):
        data = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
            names = {one.key: one.value.string_value for one in resource.resource.attributes}
            found += [(names["service.name"], span) for scope in resource.scope_spans for span in scope.spans]
    return found


def test_log_trace_and_metrics_follow_a_job_from_its_request_to_its_runners(start_service, collector, capfd):
    url = f"http://127.0.0.1:{collector.port}/v1/traces"
    settings = {"traces_url": url, "log_format": "json", "worker_metrics_port": 0}
    with start_service(**settings) as (service, driftline):
        model = driftline.upload_model(MODEL)
        job = small_job(model.id, seed=7)
        submitted = httpx.post(f"{service.url}/v1/jobs", json=job, headers={"X-Request-Id": REQUEST}).json()
        finished = driftline.job(submitted["id"]).wait()
        assert finished.state == "succeeded"

        def trace():
            found = spans(collector)
            submission = [one for _, one in found if one.name == "POST /v1/jobs"]
            return submission and [
                (service, one) for service, one in found if one.trace_id == submission[0].trace_id
            ]

        services = {"driftline-api", "driftline-worker", "driftline-runner"}
        until(lambda: {name for name, _ in trace() or ()} == services, "spans of all parts of the service")
    runs = [one for name, one in trace() if name == "driftline-runner" and one.name == "run"]
    items = {one.span_id for name, one in trace() if name == "driftline-worker"}
    assert runs
    assert all(one.parent_span_id in items for one in runs)  # all have arrived once the service has stopped

    log = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    about = [line for line in log if line.get("job") == submitted["id"]]
    assert {line.get("request") for line in about} == {REQUEST}
    assert any(line["logger"] == "app.jobs.endpoints" for line in about)
    ended = [line for line in about if line["message"].startswith("it succeeded")]
    assert {"finetune:hwa", "evaluate:hwa:0"} <= {line["item"] for line in ended}
    assert all(line["attempt"] == 1 for line in ended)
