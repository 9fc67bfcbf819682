import json

import pytest

JSON = {"Content-Type": "application/json"}


def problem(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"urn:driftline:problem:{code}"
    assert body["request_id"] == response.headers["x-request-id"]
    assert set(body) == {"type", "title", "status", "detail", "code", "errors", "request_id"}
    return body


def test_faults_of_body_and_parameters_are_told_at_once_with_pointers_and_hints(small):
    cart = {"nam": "x", "wheels": [{"diameter_mm": 0}, {"diametre_mm": 3}], "load_kg": "heavy"}
    body = problem(small.post("/v1/carts?speed=-1", json=cart), 422, "invalid_request")
    found = {(error["pointer"], error["code"]) for error in body["errors"]}
    assert found == {
        ("/query/speed", "greater_than_equal"),
        ("/nam", "unknown_field"),
        ("/wheels/0/diameter_mm", "greater_than"),
        ("/wheels/1/diametre_mm", "unknown_field"),
        ("/wheels/1/diameter_mm", "missing"),
        ("/load_kg", "int_parsing"),
    }
    hints = {error["pointer"]: error.get("hint") for error in body["errors"]}
    assert hints["/nam"] == "did you mean 'name'?"
    assert hints["/wheels/1/diametre_mm"] == "did you mean 'diameter_mm'?"


@pytest.mark.parametrize(
    "body",
    [
        b'{"load_kg": NaN}',
        b'{"load_kg": 1e999}',
        b'{"load_kg": ' + b"1" * 5000 + b"}",
        rb'{"name": "\ud800"}',
        rb'{"name": "\u0000"}',
        b'{"name": "a", "name": "b"}',
        b'{"wheels": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
        b"\xff",
        b"{",
    ],
)
def test_a_body_that_is_not_strict_json_is_a_400(small, body):
    answer = problem(small.post("/v1/carts", content=body, headers=JSON), 400, "invalid_json")
    assert answer["errors"]


@pytest.mark.parametrize("body", [b"[]", b"null", b"3", b'"x"', b"true"])
def test_a_body_of_another_json_type_is_a_422(small, body):
    for path in ("/v1/carts", "/v1/anything"):
        problem(small.post(path, content=body, headers=JSON), 422, "invalid_request")


def test_an_empty_body_is_a_422(small):
    body = problem(small.post("/v1/carts", headers=JSON), 422, "invalid_request")
    assert body["errors"][0]["code"] == "missing"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""],
)
def test_a_body_that_is_not_declared_as_json_is_a_415(small, content_type):
    answer = small.post("/v1/carts", content=b"{}", headers={"Content-Type": content_type})
    problem(answer, 415, "unsupported_media_type")


def test_a_body_declared_too_large_is_refused_unread(small):
    headers = {**JSON, "Content-Length": str(2 * 1024**3)}
    answer = small.post("/v1/carts", content=b"{}", headers=headers)
    problem(answer, 413, "too_large")
    assert answer.headers["connection"] == "close"


def test_a_body_that_turns_out_too_large_is_refused(small):
    pieces = iter([b" " * 65536] * 5)  # chunked: no length is declared
    problem(small.post("/v1/carts", content=pieces, headers=JSON), 413, "too_large")


def test_unknown_query_parameters_are_errors_together_with_wrong_ones(small):
    body = problem(small.post("/v1/carts?sped=1&speed=-1", json={}), 422, "invalid_request")
    assert {(error["pointer"], error["code"]) for error in body["errors"]} == {
        ("/query/sped", "unknown_parameter"),
        ("/query/speed", "greater_than_equal"),
    }
    assert body["errors"][0]["hint"].startswith("did you mean 'speed'?")


def test_unknown_paths_and_methods_are_problems(small):
    problem(small.get("/v1/nothing"), 404, "not_found")
    problem(small.get("/v1/carts/"), 404, "not_found")
    answer = small.delete("/v1/carts")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "OPTIONS, POST"


def test_an_unexpected_exception_is_a_500_that_tells_nothing(small, configure_log, capsys):
    configure_log()
    answer = small.get("/v1/boom", headers={"X-Request-Id": "from-the-client"})
    body = problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert body["request_id"] == "from-the-client"
    log = capsys.readouterr().err
    assert "request from-the-client: GET /v1/boom failed" in log
    assert "secret detail" in log


def test_a_failing_database_is_a_503(small):
    answer = small.get("/v1/locked")
    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"]
    assert "secret" not in answer.text


def test_a_full_disk_is_a_507(small):
    problem(small.get("/v1/full"), 507, "storage_full")


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "a\tb", "<script>"])
def test_a_request_id_that_is_not_plain_is_replaced(small, given):
    answer = small.get("/v1/nothing", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] not in ("", given)


def test_many_and_long_faults_are_cut_short(small):
    cart = {"x" * 5000 + str(index): 1 for index in range(40)}
    answer = small.post("/v1/carts", json=cart)
    assert len(answer.content) < 100_000
    wheels = {"wheels": [{}] * 1000}
    errors = small.post("/v1/carts", json=wheels).json()["errors"]
    assert len(errors) == 201
    assert errors[-1] == {"pointer": "", "code": "more_errors", "message": "and 800 more faults"}


def test_problems_are_in_the_openapi_document(small):
    document = small.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "ProblemDetails" in document["components"]["schemas"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
    responses = document["paths"]["/v1/carts"]["post"]["responses"]
    assert set(responses["422"]["content"]) == {"application/problem+json"}
    json.dumps(document, allow_nan=False)


def test_a_query_with_nul_is_refused(small):
    errors = problem(small.post("/v1/carts?speed=%00", json={}), 422, "invalid_request")["errors"]
    assert ("/query/speed", "nul_character") in {(error["pointer"], error["code"]) for error in errors}
