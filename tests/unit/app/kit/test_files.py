import base64
import hashlib

import pytest

CONTENT = bytes(range(200))


@pytest.fixture
def stored(services) -> str:
    services.blobs.write("thing", CONTENT)
    return hashlib.sha256(CONTENT).hexdigest()


def test_a_file_comes_with_tag_and_digest(small, stored):
    answer = small.get(f"/v1/files/{stored}")
    assert answer.content == CONTENT
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(stored)).decode()}:"
    again = small.get(f"/v1/files/{stored}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_range_is_sent_alone(small, stored):
    answer = small.get(f"/v1/files/{stored}", headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, CONTENT[10:20])
    assert answer.headers["content-range"] == "bytes 10-19/200"


@pytest.mark.parametrize(("given", "status"), [("bytes=500-", 416), ("bytes=9-3", 400)])
def test_a_range_that_cannot_be_had_is_a_problem(small, stored, given, status):
    answer = small.get(f"/v1/files/{stored}", headers={"Range": given})
    assert answer.status_code == status
    assert answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 416:
        assert answer.headers["content-range"] == "bytes */200"


def test_a_file_that_is_gone_is_not_found(small, services, stored):
    services.blobs.delete("thing")
    assert small.get(f"/v1/files/{stored}").status_code == 404
