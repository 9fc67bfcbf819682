import hashlib
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.kit.multipart import FilePart
from app.kit.problems import Problem
from app.kit.uploads import Upload

RAW = {"Content-Type": "application/octet-stream"}
LIMIT = 4 * 1024 * 1024


def refused(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code
    return response.json()["errors"]


@pytest.fixture(autouse=True)
def _nothing_is_left(small, leftovers):
    yield
    assert leftovers() == []


@pytest.mark.parametrize("size", [1, 1024 * 1024, LIMIT])
def test_a_raw_body_is_measured_and_hashed(small, size):
    content = b"\xa5" * size
    body = small.post("/v1/files", content=content, headers=RAW).json()
    assert body["size_bytes"] == size
    assert body["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_form_file_has_its_name_and_type(small):
    content = bytes(range(256)) * 5000
    body = small.post(
        "/v1/files", files={"file": (r"C:\nets\..\net.onnx", content, "Application/ONNX")}
    ).json()
    assert body["size_bytes"] == len(content)
    assert body["sha256"] == hashlib.sha256(content).hexdigest()
    assert body["media_type"] == "application/onnx"
    assert body["label"] == "net"


@pytest.mark.parametrize("filename", [None, "", "..", "/", "\x7f\x01", "\ud800", "a/.."])
def test_a_file_without_a_usable_name_is_called_by_its_hash(filename):
    upload = Upload(Path("x"), 1, "0123456789abcdef", "application/octet-stream", filename)
    assert upload.label("file") == "file-01234567"


def test_a_body_declared_over_the_limit_is_refused_unread(small):
    errors = refused(
        small.post("/v1/files", content=b"x", headers={**RAW, "Content-Length": str(2 * 1024**3)}),
        413,
        "too_large",
    )
    assert str(LIMIT) in errors[0]["message"]


@pytest.mark.parametrize("length", ["-1", "1e3", "", "9" * 5000])
def test_a_strange_content_length_is_refused(small, length):
    answer = small.post("/v1/files", content=b"x", headers={**RAW, "Content-Length": length})
    assert answer.status_code in (400, 413)


def test_a_body_that_turns_out_over_the_limit_is_refused(small):
    pieces = iter([b"x" * 65536] * (LIMIT // 65536 + 1))
    refused(small.post("/v1/files", content=pieces, headers=RAW), 413, "too_large")


def test_a_form_file_over_the_limit_is_refused(small):
    refused(small.post("/v1/files", files={"file": b"x" * (LIMIT + 1)}), 413, "too_large")


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/x-www-form-urlencoded"}])
def test_another_media_type_is_refused_with_how_to_send_it(small, headers):
    errors = refused(small.post("/v1/files", content=b"x", headers=headers), 415, "unsupported_media_type")
    assert "--data-binary" in errors[0]["hint"]


def test_an_empty_file_is_refused(small):
    refused(small.post("/v1/files", content=b"", headers=RAW), 422, "empty_file")
    refused(small.post("/v1/files", files={"file": b""}), 422, "empty_file")


def test_a_form_with_other_fields_is_refused(small):
    errors = refused(small.post("/v1/files", files={"flie": b"x"}), 422, "invalid_request")
    assert errors[0]["hint"].startswith("did you mean 'file'?")
    refused(small.post("/v1/files", files=[("file", b"x"), ("file", b"y")]), 422, "invalid_request")
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}
    refused(small.post("/v1/files", content=b"--b--\r\n", headers=boundary), 422, "invalid_request")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"not a form"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nxx'),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=" + "b" * 300, b"x"),
    ],
)
def test_a_broken_form_is_refused(small, content_type, body):
    refused(small.post("/v1/files", content=body, headers={"Content-Type": content_type}), 400, "bad_request")


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(content=st.binary(max_size=3000), step=st.integers(1, 100))
def test_a_form_file_comes_out_as_it_went_in_however_it_is_cut(content, step):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="n"\r\n\r\n'
        + content
        + b"\r\n--b--\r\n"
    )
    if b"\r\n--b" in content:
        return
    part = FilePart("multipart/form-data; boundary=b")
    pieces = [body[index * step : (index + 1) * step] for index in range(math.ceil(len(body) / step))]
    assert b"".join(part.feed(piece) for piece in pieces) == content
    part.finish()


@given(body=st.binary(max_size=300))
def test_no_form_raises_anything_but_a_problem(body):
    part = FilePart("multipart/form-data; boundary=b")
    try:
        part.feed(b"--b\r\n" + body)
        part.finish()
    except Problem as problem:
        assert problem.status_code in (400, 422)  # noqa: PT017 - either outcome is right
