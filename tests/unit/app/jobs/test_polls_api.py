"""A poll is answered in a plain way, which says what the endpoint says."""

import pytest

from tests.unit.app.jobs.submissions import body, put, submit

# What differs from one request to the next.
OF_A_REQUEST = {"x-request-id", "date"}


@pytest.fixture
def job_id(client):
    return submit(client, body(client))


def seen(answer):
    headers = {name: value for name, value in answer.headers.items() if name not in OF_A_REQUEST}
    return answer.status_code, headers, answer.content


@pytest.mark.parametrize("state", ["queued", "running", "succeeded"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_it_says_what_the_endpoint_says(client, job_id, state, method):
    put(client, job_id, state)
    path = f"/v1/jobs/{job_id}"
    plain, endpoint = client.request(method, path), client.request(method, f"{path}?wait=0")
    assert seen(plain) == seen(endpoint)
    assert plain.status_code == 200
    tag = plain.headers["etag"]
    for held, status in (
        (tag, 304),
        (f"W/{tag}", 304),
        (f'"other", {tag}', 304),
        ("*", 304),
        ('"other"', 200),
    ):
        headers = {"If-None-Match": held}
        plain = client.request(method, path, headers=headers)
        assert seen(plain) == seen(client.request(method, f"{path}?wait=0", headers=headers))
        assert plain.status_code == status


@pytest.mark.parametrize("job_id", ["01a21bdb-efee-742d-bce5-a9ad745c015d", "no-id", "x" * 3000, "%00"])
def test_it_knows_no_job_that_the_endpoint_does_not_know(client, job_id):
    plain, endpoint = client.get(f"/v1/jobs/{job_id}"), client.get(f"/v1/jobs/{job_id}?wait=0")
    assert plain.status_code == endpoint.status_code
    assert plain.json()["code"] == endpoint.json()["code"]


def test_a_preference_to_wait_is_left_to_the_endpoint(client, job_id):
    answer = client.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=1"})
    assert answer.headers["preference-applied"] == "wait=1"
