import json
import subprocess
import sys

import pytest
from jsonschema_rs import Draft202012Validator

from app.main import create_app
from app.settings import Settings
from docs.openapi import PAGE

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


def test_links_lead_to_operations_and_their_parameters(document):
    by_id = {operation["operationId"]: operation for _, _, operation in operations(document)}
    links = [
        link
        for operation in by_id.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert len(links) > 20
    for link in links:
        (parameter,) = link["parameters"]
        named = [one["name"] for one in by_id[link["operationId"]]["parameters"] if one["in"] == "path"]
        assert parameter in named


def examples(document):
    """Yield (where, schema, example) of every example in the document."""

    def walk(value, where):
        if isinstance(value, dict):
            if isinstance(value.get("examples"), list):
                yield from ((where, value, example) for example in value["examples"])
            if "schema" in value:
                named = value.get("examples", {})
                yield from ((where, value["schema"], one["value"]) for one in named.values())
                if "example" in value:
                    yield where, value["schema"], value["example"]
            for key, child in value.items():
                if key not in ("example", "examples"):
                    yield from walk(child, f"{where}/{key}")
        elif isinstance(value, list):
            for index, child in enumerate(value):
                yield from walk(child, f"{where}/{index}")

    yield from walk(document, "")


def test_every_example_is_valid(document):
    found = list(examples(document))
    faults = []
    for where, schema, example in found:
        validator = Draft202012Validator({**schema, "components": document["components"]})
        faults += [f"{where}: {fault.message}" for fault in validator.iter_errors(example)]
    assert not faults


def test_every_json_body_has_an_example(document):
    for path, method, operation in operations(document):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            name = body["schema"].get("$ref", "").rpartition("/")[2]
            component = document["components"]["schemas"].get(name, {})
            assert body.get("examples") or component.get("examples"), (path, method)


def test_every_property_says_what_it_means(document):
    missing = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, one in schema.get("properties", {}).items()
        if not one.get("description")
    ]
    assert not missing


def test_every_success_has_an_example(document):
    """Recorded from a real service: `python -m docs.examples`."""
    missing = [
        (method, path, status)
        for path, method, operation in operations(document)
        for status, response in operation["responses"].items()
        if int(status) < 300
        for media_type, content in response.get("content", {}).items()
        if media_type == "application/json" and "example" not in content and "examples" not in content
    ]
    assert not missing


def test_the_document_names_its_licence_and_whom_to_ask(document):
    assert document["info"]["license"] == {"name": "MIT", "identifier": "MIT"}
    assert document["info"]["contact"]["name"]


def test_what_is_made_says_where_it_is(document):
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if status == "201":
                assert "Location" in response["headers"], (method, path)


def test_the_contract_is_the_committed_one():
    """When it is meant to change: `python -m docs.openapi`, and the change is seen in review.

    In a process of its own: other tests register devices, which the schema of configurations then has.
    """
    code = "import sys; from docs.openapi import text; sys.stdout.buffer.write(text().encode())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=120)
    assert PAGE.read_text(encoding="utf-8") == done.stdout.decode()


def test_the_application_starts_without_numerics():
    code = (
        "import sys, app.main; app.main.create_app();"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def bounds(node):
    """Yield every bound of an integer in a schema."""
    if isinstance(node, dict):
        if node.get("type") == "integer":
            yield from (node[name] for name in ("minimum", "maximum", "exclusiveMaximum") if name in node)
        for part in node.values():
            yield from bounds(part)
    elif isinstance(node, list):
        for part in node:
            yield from bounds(part)


def test_bounds_of_integers_are_integers_that_are_taken(document):
    found = list(bounds(document))
    assert 2**63 - 1 in found
    assert all(isinstance(bound, int) and abs(bound) <= 2**63 for bound in found)


def test_headers_that_clients_work_with_are_in_the_document(document):
    submitted = document["paths"]["/v1/jobs"]["post"]["responses"]["202"]["headers"]
    assert {"Location", "ETag", "Retry-After", "Idempotency-Replayed"} <= submitted.keys()
    assert "ETag" in document["paths"]["/v1/jobs/{job_id}"]["get"]["responses"]["200"]["headers"]
    assert "Retry-After" in document["paths"]["/v1/models"]["post"]["responses"]["503"]["headers"]
