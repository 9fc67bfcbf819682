import threading

import httpx
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.db.tables import WorkItem
from app.health import metrics as of_the_state
from app.monitoring.metrics import MetricsServer, WorkerMetrics, served


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def scrape(client, monkeypatch):
    monkeypatch.setattr(of_the_state, "_FRESH_S", 0.0)

    def scrape(name, **labels):
        return samples(client.get("/metrics").text).get((name, *sorted(labels.items())))

    return scrape


def test_requests_are_counted_by_method_route_and_code(client, scrape):
    client.get("/v1/jobs/01a218f0-cf7c-783d-a800-2087fa75d5ee")
    client.get("/v1/jobs/01a218f0-cf7c-783d-a800-2087fa75d5ff")
    client.head("/v1/models")
    client.get("/nowhere/at/all")
    count = "driftline_http_requests_total"
    assert scrape(count, method="GET", route="/v1/jobs/{job_id}", code="404") == 2
    assert scrape(count, method="HEAD", route="/v1/models", code="200") == 1
    assert scrape(count, method="GET", route="none", code="404") == 1
    assert scrape("driftline_http_request_seconds_count", method="GET", route="/v1/jobs/{job_id}") == 2


def test_a_method_that_there_is_none_of_makes_no_series_of_its_own(client, scrape):
    client.request("BREW", "/v1/models")
    assert scrape("driftline_http_requests_total", method="other", route="/v1/models", code="405") in (
        1,
        None,
    )
    assert "BREW" not in client.get("/metrics").text


def test_refused_uploads_are_counted_by_reason(client, scrape):
    headers = {"content-type": "application/octet-stream"}
    client.post("/v1/models", content=b"no model", headers=headers)
    client.post("/v1/models", content=b"", headers=headers)
    client.post("/v1/models", content=b"x" * (5 * 1024 * 1024), headers=headers)
    for code in ("not_onnx", "empty_file", "too_large"):
        assert scrape("driftline_http_problems_total", method="POST", route="/v1/models", code=code) == 1


def test_jobs_and_the_queue_are_told_by_state_and_kind(make_client, settings, database_url, make_job):
    make_job(("finetune:hwa", []), ("evaluate:hwa:0", ["finetune:hwa"]))
    make_job(("finetune:hwa", []))
    with make_client(settings.model_copy(update={"database_url": database_url})) as client:
        found = samples(client.get("/metrics").text)
    assert found["driftline_jobs", ("state", "queued")] == 2
    assert found["driftline_work_items", ("kind", "finetune"), ("state", "queued")] == 2
    assert found["driftline_work_items", ("kind", "evaluate"), ("state", "blocked")] == 1
    assert found["driftline_queue_age_seconds", ("kind", "finetune")] >= 0
    assert ("driftline_queue_age_seconds", ("kind", "evaluate")) not in found


def test_an_item_waits_since_it_was_queued_and_not_since_it_was_planned(database, make_job):
    job_id = make_job(("finetune:hwa", []), ("evaluate:hwa:0", ["finetune:hwa"]))
    with database.transaction() as session:
        blocked = session.query(WorkItem).filter_by(job_id=job_id, key="evaluate:hwa:0").one()
        assert blocked.queued_at is None
        blocked.state = "queued"
        session.flush()
        assert blocked.queued_at > session.query(WorkItem).filter_by(key="finetune:hwa").one().queued_at


def test_a_database_that_is_away_is_told_as_such_and_fails_no_scrape(client, settings):
    services = client.app.state.services
    settings.data_dir.joinpath("driftline.db").rename(settings.data_dir / "elsewhere.db")
    services.database.dispose()
    settings.data_dir.joinpath("driftline.db").write_bytes(b"this is no database at all" * 100)
    found = samples(generate_latest(services.metrics.registry).decode())  # as on a port of their own
    assert found["driftline_up", ("part", "database")] == 0
    assert found["driftline_up", ("part", "storage")] == 1


def test_a_port_of_its_own_serves_the_metrics_and_the_api_no_longer(settings, make_client):
    with make_client(settings.model_copy(update={"metrics_port": 0})) as client:
        answer = client.get("/metrics")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_metrics_are_served_on_a_port_and_a_taken_port_is_said(caplog):
    metrics = WorkerMetrics()
    metrics.counted(cells=3, samples=700)
    metrics.ended("evaluate", "lost", 1.5)
    server = MetricsServer(metrics.registry, "127.0.0.1", 0)
    try:
        found = samples(httpx.get(f"http://127.0.0.1:{server.port}/metrics").text)
        stop = served(metrics.registry, "127.0.0.1", server.port)  # taken
        stop()
    finally:
        server.close()
    assert found["driftline_cells_total",] == 3
    assert found["driftline_samples_total",] == 700
    assert found["driftline_leases_lost_total", ("kind", "evaluate")] == 1
    assert "cannot be served" in caplog.text
    assert not [thread for thread in threading.enumerate() if "serve_forever" in str(thread._target)]
