"""What HTTP asks of every resource alike."""

import gzip
import re

import pytest

from tests.unit.app.jobs.submissions import RAW, add_cells, body, codes, fault, put, submit
from tests.unit.app.networks import mlp_bytes

WEBHOOK = {"url": "https://example.org/hook"}


@pytest.fixture
def job_id(client):
    return submit(client, body(client))


@pytest.fixture
def model(client):
    return client.post("/v1/models", content=mlp_bytes(), headers=RAW).json()


def test_head_is_get_without_content(client, job_id, model):
    for path in (
        "/healthz/live",
        "/v1/jobs",
        f"/v1/jobs/{job_id}",
        f"/v1/jobs/{job_id}/results?cells=true",
        f"/v1/models/{model['id']}/content",
        "/v1/rpu-configs/schema",
        "/v1/models/nothing",
    ):
        got, head = client.get(path), client.head(path)
        assert head.status_code == got.status_code
        assert head.content == b""
        for name in ("content-type", "etag", "content-encoding", "accept-ranges", "vary"):
            assert head.headers.get(name) == got.headers.get(name), (path, name)


def test_head_of_an_event_stream_ends(client, job_id):
    answer = client.head(f"/v1/jobs/{job_id}/events", headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/jobs", "GET, HEAD, OPTIONS, POST"),
        ("/v1/jobs/{job}", "DELETE, GET, HEAD, OPTIONS"),
        ("/v1/jobs/{job}/cancel", "OPTIONS, POST"),
        ("/v1/webhooks/0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/healthz/live", "GET, HEAD, OPTIONS"),
    ],
)
def test_every_method_of_a_path_is_in_allow(client, job_id, path, allowed):
    path = path.format(job=job_id)
    options = client.options(path)
    assert (options.status_code, options.headers["allow"], options.content) == (204, allowed, b"")
    refused = client.put(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    assert allowed in refused.json()["detail"]


def test_options_of_nothing_is_a_404(client):
    assert client.options("/v1/nothing").status_code == 404


def test_head_of_what_only_takes_posts_says_so(client, job_id):
    assert client.head(f"/v1/jobs/{job_id}/cancel").status_code == 405


def test_ranges_of_unknown_units_are_ignored(client, model):
    path = f"/v1/models/{model['id']}/content"
    whole = client.get(path)
    for unit in ("lines=1-2", "seconds=0-", "bytesx=0-1"):
        answer = client.get(path, headers={"Range": unit})
        assert (answer.status_code, answer.content) == (200, whole.content)
    part = client.get(path, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, whole.content[:10])
    assert client.get(path, headers={"Range": "bytes=99999999-"}).status_code == 416


def test_several_accept_lines_are_one_list(client, job_id):
    lines = [("Accept", "application/pdf"), ("Accept", "text/csv")]
    answer = client.get(f"/v1/jobs/{job_id}/results", headers=lines)
    assert answer.headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/models"])
def test_a_compressed_body_is_refused(client, path):
    headers = {"Content-Type": "application/json" if path == "/v1/jobs" else "application/octet-stream"}
    answer = client.post(path, content=gzip.compress(b"{}"), headers={**headers, "Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_content_encoding")
    assert answer.headers["accept-encoding"] == "identity"
    answer = client.post(path, content=b"{}", headers={**headers, "Content-Encoding": "identity"})
    assert answer.status_code == 422


def changed_webhook(client):
    path = f"/v1/webhooks/{client.post('/v1/webhooks', json=WEBHOOK).json()['id']}"
    tag = client.get(path).headers["etag"]
    client.patch(path, json={"enabled": False})
    return path, tag


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_of_another_version_than_the_client_has_seen_is_refused(client, method):
    path, tag = changed_webhook(client)
    options = {"json": {"description": "new"}} if method == "PATCH" else {}
    stale = client.request(method, path, headers={"If-Match": tag}, **options)
    assert (stale.status_code, codes(stale)) == (412, {("/header/if-match", "precondition_failed")})
    weak = client.request(method, path, headers={"If-Match": f"W/{tag}"}, **options)
    assert weak.status_code == 412
    present = client.get(path).headers["etag"]
    headers = {"If-Match": f'"other", {present}'}
    assert client.request(method, path, headers=headers, **options).status_code in (200, 204)


def test_every_thing_that_is_deleted_can_be_deleted_by_version(client, job_id, model):
    config = client.post("/v1/rpu-configs", json={"name": "c", "config": {}}).json()["id"]
    put(client, job_id, "failed")
    add_cells(client, job_id, ("direct", 0, 1.0, 9, 1.0))
    dataset = client.get("/v1/datasets").json()["items"][0]["id"]
    for path in (
        f"/v1/rpu-configs/{config}",
        f"/v1/jobs/{job_id}",
        f"/v1/datasets/{dataset}",
        f"/v1/models/{model['id']}",
    ):
        assert client.delete(path, headers={"If-Match": '"stale"'}).status_code == 412
        tag = client.get(path).headers["etag"]
        assert client.delete(path, headers={"If-Match": tag}).status_code == 204, path


def test_answers_are_compressed_for_those_who_take_it_under_a_tag_of_their_own(client):
    path = "/v1/rpu-configs/schema"
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    packed = client.get(path, headers={"Accept-Encoding": "br, gzip;q=0.5"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert packed.headers["etag"] != plain.headers["etag"]
    for answer in (plain, packed):
        assert "Accept-Encoding" in answer.headers["vary"]
        held = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (held.status_code, held.content) == (304, b"")
    for refused in ("gzip;q=0", "identity", "br", "*;q=0"):
        assert "content-encoding" not in client.get(path, headers={"Accept-Encoding": refused}).headers


def test_streams_files_and_pictures_go_as_they_are(client, job_id, model):
    put(client, job_id, "succeeded")
    add_cells(client, job_id, ("direct", 0, 1.0, 9, 1.0))
    for path, headers in (
        (f"/v1/jobs/{job_id}/events", {"Accept": "text/event-stream"}),
        (f"/v1/models/{model['id']}/content", {}),
        (f"/v1/jobs/{job_id}/results?format=png", {}),
        (f"/v1/jobs/{job_id}/results?format=parquet&cells=true", {}),
    ):
        answer = client.get(path, headers={"Accept-Encoding": "gzip", **headers})
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers, path


def test_large_cells_are_compressed_in_pieces(client, job_id):
    add_cells(client, job_id, *(("direct", n, 1.0, n % 10, float(n)) for n in range(3000)))
    path = f"/v1/jobs/{job_id}/results?cells=true"
    packed = client.get(path)
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.json()["cells"]) == 3000
    assert client.get(path, headers={"If-None-Match": packed.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    ("value", "count"),
    [("2020-01-01", 1), ("2020-01-01T00:00:00Z", 1), ("2999-01-01", 0), ("2020-01-01T00:00:00+02:00", 1)],
)
def test_created_after_takes_dates_and_moments(client, job_id, value, count):
    assert len(client.get("/v1/jobs", params={"created_after": value}).json()["items"]) == count


@pytest.mark.parametrize("value", ["0.5", "1700000000", "-1", "1e9", " 12 "])
def test_created_after_takes_no_bare_numbers(client, value):
    found = fault(client.get("/v1/jobs", params={"created_after": value}), "/query/created_after")
    assert found["code"] == "not_a_moment"
    assert "2026-01-31" in found["hint"]


def test_a_moment_without_a_zone_is_told_how_to_name_it(client):
    answer = client.get("/v1/jobs", params={"created_before": "2026-01-01T12:00:00"})
    assert fault(answer, "/query/created_before")["hint"] == "write 2026-01-01T12:00:00Z for UTC"


def test_the_estimate_of_the_rest_does_not_change_under_the_same_tag(client, job_id):
    import datetime as dt

    now = dt.datetime.now(dt.UTC)
    put(
        client, job_id, "running", started_at=now - dt.timedelta(seconds=100), progressed_at=now, progress_done=1,
        progress_total=2,
    )  # fmt: skip
    first, second = (client.get(f"/v1/jobs/{job_id}") for _ in range(2))
    assert first.headers["etag"] == second.headers["etag"]
    assert first.content == second.content
    assert first.json()["progress"]["eta_seconds"] == pytest.approx(100)


def test_names_of_methods_are_documented_in_allow_alone(client):
    document = client.get("/openapi.json").json()
    assert not [path for path, item in document["paths"].items() if re.search("head|options", " ".join(item))]
