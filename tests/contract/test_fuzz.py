"""Whatever the OpenAPI document allows, and whatever it forbids, is answered as the document says."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.main import create_app
from app.settings import Settings

load_all_checks()
CONTRACT = create_app(Settings(database_url=None, redis_url=None)).openapi()
for path in CONTRACT["paths"].values():
    for operation in path.values():
        operation.pop("security", None)  # the server of these tests has no key, so it asks for none
DOCUMENT = schemathesis.openapi.from_dict(CONTRACT)
OPERATIONS = {operation.ok().label: operation.ok() for operation in DOCUMENT.get_all_operations()}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
REFUSALS = [negative_data_rejection, missing_required_header]


def answers_as_documented(operation, mode, url, checks):
    @settings(
        max_examples=10,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case):
        case.call_and_validate(base_url=url, timeout=20, checks=checks)

    check()


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_the_document_allows(name, server):
    answers_as_documented(OPERATIONS[name], GenerationMode.POSITIVE, server.url, CHECKS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_the_document_forbids(name, server):
    try:
        answers_as_documented(OPERATIONS[name], GenerationMode.NEGATIVE, server.url, [*CHECKS, *REFUSALS])
    except Unsatisfiable:
        # It has neither a body nor a query: any text is allowed in its path.
        assert not OPERATIONS[name].body
        assert not OPERATIONS[name].query


def test_chains_of_requests_along_the_links(server):
    class Chain(DOCUMENT.as_state_machine()):
        def get_call_kwargs(self, case):
            return {"base_url": server.url, "timeout": 20}

        def validate_response(self, response, case, additional_checks=(), **kwargs):
            case.validate_response(response, checks=CHECKS)

    Chain.run(
        settings=settings(
            max_examples=10,
            stateful_step_count=8,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
    )
