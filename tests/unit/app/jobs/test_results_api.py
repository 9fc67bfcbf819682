"""`GET /v1/jobs/{id}/results` and what else is read of a job."""

import io
import json
import math
from xml.etree import ElementTree as ET

import pytest
from pyarrow import parquet

from app.compare.schemas import ComparisonView
from app.db.tables import Artifact, Epoch, Job
from app.jobs.schemas import HistoryView
from app.results.schemas import ResultsView
from tests.unit.app.jobs.submissions import add_baseline, add_cells, body, codes, database_of, put, submit


@pytest.fixture
def job_id(client):
    job_id = submit(client, body(client))
    add_baseline(client, job_id)
    add_cells(
        client,
        job_id,
        ("direct", 1, 3600.0, 8, 2.0),
        ("direct", 0, 1.0, 9, 1.0),
        ("direct", 0, 3600.0, 7, 3.0),
    )
    return job_id


def results(client, job_id, **options):
    headers = options.pop("headers", {})
    return client.get(f"/v1/jobs/{job_id}/results", params=options, headers=headers)


def test_results_are_there_from_the_first_cell_on(client, job_id):
    answer = results(client, job_id).json()
    assert (answer["complete"], answer["metric"], answer["task"]) == (False, "accuracy", "classification")
    assert answer["baseline"]["digital"]["accuracy"] == 1.0
    [series] = answer["series"]
    assert [(p["t_inference"], p["repeats"], p["mean"]) for p in series["points"]] == [
        (1.0, 1, 0.9),
        (3600.0, 2, 0.75),
    ]
    assert "cells" not in answer
    put(client, job_id, "succeeded")
    assert results(client, job_id).json()["complete"] is True


def test_cells_come_on_request_in_the_order_of_time_and_chip(client, job_id):
    cells = results(client, job_id, cells=True).json()["cells"]
    assert [(c["t_inference"], c["repeat"], c["correct"], c["loss_sum"]) for c in cells] == [
        (1.0, 0, 9, 1.0), (3600.0, 0, 7, 3.0), (3600.0, 1, 8, 2.0),
    ]  # fmt: skip


def test_the_test_sets_interval_comes_on_request(client, job_id):
    point = results(client, job_id, test_set_ci=True).json()["series"][0]["points"][0]
    low, high = point["test_set_ci95"]
    assert low < point["mean"] < high
    assert "test_set_ci95" not in results(client, job_id).json()["series"][0]["points"][0]


@pytest.mark.parametrize("cells", [True, False])
def test_every_form_says_the_same(client, job_id, cells):
    expected = results(client, job_id, cells=cells).json()
    rows = len(expected["cells"]) if cells else len(expected["series"][0]["points"])
    text = results(client, job_id, cells=cells, format="csv").text
    assert len(text.splitlines()) == rows + 1
    table = parquet.read_table(io.BytesIO(results(client, job_id, cells=cells, format="parquet").content))
    assert table.num_rows == rows
    assert ET.fromstring(results(client, job_id, cells=cells, format="svg").content).tag.endswith("svg")
    assert results(client, job_id, cells=cells, format="png").content.startswith(b"\x89PNG")


@pytest.mark.parametrize("options", [{}, {"cells": True}, {"format": "csv"}, {"format": "svg"}])
def test_progress_leaves_the_entity_tag_of_results_alone_and_a_cell_changes_it(client, job_id, options):
    tag = results(client, job_id, **options).headers["etag"]
    with database_of(client).transaction() as session:
        job = session.get_one(Job, job_id)
        job.version += 5
        job.progress_done += 1
    held = {"If-None-Match": tag}
    assert results(client, job_id, **options, headers=held).status_code == 304
    for path in ("history", "artifacts"):
        assert client.get(f"/v1/jobs/{job_id}/{path}").headers["etag"]
    add_cells(client, job_id, ("direct", 1, 1.0, 9, 1.0))
    changed = results(client, job_id, **options, headers=held)
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    put(client, job_id, "succeeded")
    assert (
        results(client, job_id, **options, headers={"If-None-Match": changed.headers["etag"]}).status_code
        == 200
    )


def test_the_forms_have_different_entity_tags(client, job_id):
    options = ({}, {"cells": True}, {"test_set_ci": True}, {"format": "csv"}, {"format": "png"})
    assert len({results(client, job_id, **one).headers["etag"] for one in options}) == len(options)


def test_history_and_artifacts_change_their_tag_with_their_content_alone(client, job_id):
    tags = {
        path: client.get(f"/v1/jobs/{job_id}/{path}").headers["etag"] for path in ("history", "artifacts")
    }
    add_cells(client, job_id, ("direct", 1, 1.0, 9, 1.0))
    for path, tag in tags.items():
        assert client.get(f"/v1/jobs/{job_id}/{path}", headers={"If-None-Match": tag}).status_code == 304
    epoch = Epoch(job_id=job_id, variant="hwa", epoch=0, train_loss=1.0, learning_rate=0.1, seconds=1.0)
    artifact = Artifact(
        job_id=job_id, name="a", media_type="text/plain", size_bytes=1, sha256="0" * 64, blob_key="jobs/a"
    )
    with database_of(client).transaction() as session:
        session.add_all([epoch, artifact])
    for path, tag in tags.items():
        assert client.get(f"/v1/jobs/{job_id}/{path}", headers={"If-None-Match": tag}).status_code == 200


def test_a_form_that_is_not_offered_is_refused(client, job_id):
    assert results(client, job_id, headers={"Accept": "application/pdf"}).status_code == 406
    assert codes(results(client, job_id, format="pdf")) == {("/query/format", "enum")}


def test_there_are_no_results_of_what_is_no_job(client):
    for options in ({}, {"cells": True}, {"format": "png"}):
        assert results(client, "nothing", **options).status_code == 404


@pytest.mark.parametrize("task", ["regression", "next_token"])
def test_jobs_of_which_chips_diverged_are_shown_and_compared_within_the_schema(client, task):
    ids = []
    for seed, losses in enumerate([(1.0, 2.0), (None, 2.0), (None, None)]):
        job_id = submit(client, body(client, seed=seed))
        with database_of(client).transaction() as session:
            job = session.get_one(Job, job_id)
            job.spec = {**job.spec, "task": task}
        add_cells(client, job_id, *(("direct", n, 1.0, None, loss) for n, loss in enumerate(losses)))
        ids.append(job_id)
    answer = client.get("/v1/compare", params={"job": ids})
    view = ComparisonView.model_validate_json(answer.content)
    assert [one.mean for one in view.points[0].differences] == [None, None]
    for job_id in ids:
        ResultsView.model_validate_json(results(client, job_id, cells=True).content)
        for form in ("csv", "parquet", "svg", "png"):
            assert results(client, job_id, format=form).status_code == 200


def test_an_epoch_whose_loss_was_not_finite_is_shown_within_the_schema(client, job_id):
    epoch = Epoch(
        job_id=job_id, variant="hwa", epoch=0, train_loss=math.inf, validation_loss=math.inf,
        learning_rate=0.1, seconds=1.0,
    )  # fmt: skip
    with database_of(client).transaction() as session:
        session.add(epoch)
    answer = client.get(f"/v1/jobs/{job_id}/history")
    json.loads(answer.content, parse_constant=pytest.fail)
    [found] = HistoryView.model_validate_json(answer.content).epochs
    assert (found.train_loss, found.validation_loss) == (None, None)


@pytest.mark.parametrize(
    ("jobs", "code"),
    [
        (["a"], "wrong_number"),
        (["a", "a"], "wrong_number"),
        (["a", "b"], "unknown_job"),
        (["x"] * 9, "wrong_number"),
    ],
)
def test_a_comparison_of_other_than_two_to_eight_known_jobs_is_refused(client, jobs, code):
    answer = client.get("/v1/compare", params={"job": jobs})
    assert ("/query/job", code) in codes(answer)


def test_a_comparison_is_told_apart_by_its_results(client):
    ids = [submit(client, body(client, seed=seed)) for seed in (0, 1)]
    for job_id in ids:
        add_cells(client, job_id, ("direct", 0, 1.0, 9, 1.0), ("direct", 1, 1.0, 8, 1.0))
    answer = client.get("/v1/compare", params={"job": ids})
    assert answer.json()["points"][0]["differences"][0]["method"] == "welch"
    held = {"If-None-Match": answer.headers["etag"]}
    assert client.get("/v1/compare", params={"job": ids}, headers=held).status_code == 304
    add_cells(client, ids[1], ("direct", 2, 1.0, 5, 1.0))
    assert client.get("/v1/compare", params={"job": ids}, headers=held).status_code == 200


def test_jobs_of_different_tasks_are_not_compared(client):
    ids = [submit(client, body(client, seed=seed)) for seed in (0, 1)]
    with database_of(client).transaction() as session:
        job = session.get_one(Job, ids[1])
        job.spec = {**job.spec, "task": "regression"}
    assert codes(client.get("/v1/compare", params={"job": ids})) == {("/query/job", "task_mismatch")}
