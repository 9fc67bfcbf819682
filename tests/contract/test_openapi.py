import json
import subprocess
import sys
import time

import pytest

from app.main import create_app
from app.settings import Settings

_METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document():
    return create_app(Settings(database_url=None, redis_url=None)).openapi()


def operations(document):
    for path, item in document["paths"].items():
        for method in _METHODS & set(item):
            yield path, method, item[method]


def test_the_document_is_openapi_31_and_strict_json(document):
    assert document["openapi"].startswith("3.1")
    json.dumps(document, allow_nan=False)


def test_every_reference_in_the_document_leads_somewhere(document):
    def references(value):
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for child in value.values():
                yield from references(child)
        elif isinstance(value, list):
            for child in value:
                yield from references(child)

    for reference in set(references(document)):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_operations_have_ids_of_their_own_summaries_and_tags(document):
    found = list(operations(document))
    ids = [operation["operationId"] for _, _, operation in found]
    assert len(ids) == len(set(ids))
    known_tags = {tag["name"] for tag in document["tags"]}
    for path, method, operation in found:
        assert operation["operationId"].isidentifier(), (path, method)
        assert set(operation["tags"]) <= known_tags
        assert operation["tags"]
        assert operation["summary"]
        assert operation["description"]


def test_every_error_is_a_problem(document):
    for path, method, operation in operations(document):
        assert "422" in operation["responses"], (path, method)
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                content = response["content"]
                assert set(content) == {"application/problem+json"}, (path, method, status)
                schema = content["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ProblemDetails"}


def test_whatever_takes_a_body_says_how_it_may_be_refused(document):
    for path, method, operation in operations(document):
        if "requestBody" in operation:
            assert {"400", "408", "413", "415", "422"} <= set(operation["responses"]), (path, method)


def test_the_application_starts_without_numerics():
    code = (
        "import sys, app.main; app.main.create_app();"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - begun < 10  # about one second; the rest is for a busy machine
