"""`POST /v1/jobs/{id}/retry` and `/extend`."""

from app.db.tables import Job
from tests.unit.app.jobs.submissions import body, codes, database_of, fault, put, submit


def finished(client, state="succeeded", **changes):
    job_id = submit(client, body(client, **changes))
    put(client, job_id, state)
    return job_id


def extend(client, job_id, **more):
    return client.post(f"/v1/jobs/{job_id}/extend", json=more)


def retry(client, job_id):
    return client.post(f"/v1/jobs/{job_id}/retry")


def test_an_extension_is_a_new_job_with_the_old_and_the_new_times(client):
    job_id = finished(client)
    answer = extend(client, job_id, t_inference=[60], repeats=3)
    assert answer.status_code == 202
    job = answer.json()
    assert job["extends"] == job_id
    assert job["spec"]["evaluate"]["t_inference"] == [1, 60, 3600]
    assert job["spec"]["evaluate"]["repeats"] == 3


def test_an_extension_that_adds_nothing_is_refused(client):
    assert codes(extend(client, finished(client), t_inference=[1], repeats=2)) == {("", "nothing_to_add")}


def test_only_a_finished_job_is_extended(client):
    answer = extend(client, submit(client, body(client)), repeats=3)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_finished")


def test_only_a_failed_or_cancelled_job_is_retried(client):
    answer = retry(client, finished(client))
    assert (answer.status_code, answer.json()["code"]) == (409, "not_failed")


def test_a_retry_is_a_new_job_of_the_same_specification(client):
    job_id = finished(client, "failed")
    answer = retry(client, job_id)
    assert answer.status_code == 202
    assert answer.json()["retry_of"] == job_id
    assert answer.json()["spec"] == client.get(f"/v1/jobs/{job_id}").json()["spec"]


def test_a_configuration_stays_as_it_was_written_while_it_means_the_same(client):
    written = {"preset": "PCMExamplePreset", "overrides": {"forward": {"out_noise": 0.1}}}
    job_id = finished(client, rpu_config=written)
    assert extend(client, job_id, repeats=3).json()["spec"]["rpu_config"] == written
    with database_of(client).transaction() as session:  # as if the preset had been another one on that day
        job = session.get_one(Job, job_id)
        before = {
            **job.effective_config,
            "remap": {**job.effective_config["remap"], "type": "LayerwiseSymmetric"},
        }
        job.effective_config = before
    again = extend(client, job_id, repeats=4).json()
    assert again["spec"]["rpu_config"] == again["effective_config"] == before


def test_a_stored_configuration_is_extended_as_it_was(client):
    request = {"name": "quiet", "config": {"preset": "PCMExamplePreset"}}
    stored = client.post("/v1/rpu-configs", json=request).json()["id"]
    job_id = finished(client, rpu_config={"stored": stored})
    again = extend(client, job_id, repeats=3).json()
    assert again["spec"]["rpu_config"] == again["effective_config"]


def test_an_extension_beyond_a_limit_is_refused_where_the_client_wrote_it(client):
    job_id = finished(client, evaluate={"t_inference": list(range(1000)), "variants": ["direct"]})
    answer = extend(client, job_id, t_inference=[t + 0.5 for t in range(1000)])
    assert "1000" in fault(answer, "/t_inference")["message"]
    assert fault(answer, "/t_inference")["hint"] == "ask for less"


def test_a_job_beyond_a_limit_that_was_tightened_since_is_shown_and_not_made_again(client):
    job_id = finished(client)
    with database_of(client).transaction() as session:
        job = session.get_one(Job, job_id)
        spec = {
            **job.spec,
            "tags": [f"t{i}" for i in range(21)],
            "evaluate": {**job.spec["evaluate"], "repeats": 10**6},
        }
        job.spec = spec
    for path in ("", "/results", "/history", "/events"):
        assert client.get(f"/v1/jobs/{job_id}{path}").status_code == 200
    assert client.get("/v1/jobs").status_code == 200
    other = finished(client, seed=1)
    assert client.get("/v1/compare", params={"job": [job_id, other]}).status_code == 200
    answer = extend(client, job_id, t_inference=[5])
    assert codes(answer) == {("/spec/tags", "too_long"), ("/repeats", "less_than_equal")}
    put(client, job_id, "failed")
    assert "submit the job anew" in fault(retry(client, job_id), "/spec/tags")["hint"]


def test_a_retry_of_a_job_whose_dataset_is_gone_says_so(client):
    job_id = finished(client, "failed")
    with database_of(client).transaction() as session:
        job = session.get_one(Job, job_id)
        job.spec = {**job.spec, "dataset": "builtin:gone"}
    assert codes(retry(client, job_id)) == {("/dataset", "unknown_dataset")}


def test_what_is_no_job_is_neither_retried_nor_extended(client):
    for answer in (retry(client, "nothing"), extend(client, "nothing", repeats=3)):
        assert answer.status_code == 404
