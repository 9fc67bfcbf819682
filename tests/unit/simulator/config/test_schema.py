from __future__ import annotations

from typing import Literal

import pytest

from simulator.config import NoiseModelConfig, TypedConfig, json_schema


@pytest.fixture(scope="module")
def schema():
    return json_schema()


def test_schema_names_its_dialect(schema):
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_field_is_described(schema):
    objects = [schema, *schema["$defs"].values()]
    undescribed = [
        f"{node.get('title')}.{name}"
        for node in objects
        for name, field in node.get("properties", {}).items()
        if name != "type" and "description" not in field
    ]
    assert undescribed == []


def test_unknown_fields_are_forbidden_at_every_level(schema):
    objects = [schema, *(node for node in schema["$defs"].values() if node["type"] == "object")]
    assert all(node["additionalProperties"] is False for node in objects)


def test_every_reference_is_defined(schema):
    def references(node):
        if isinstance(node, dict):
            yield from [node["$ref"]] if "$ref" in node else []
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    missing = {r for r in references(schema) if r.removeprefix("#/$defs/") not in schema["$defs"]}
    assert missing == set()


def test_unions_list_all_their_types(schema):
    listed = {member["$ref"].rsplit("/", 1)[1] for member in schema["properties"]["noise_model"]["oneOf"]}
    assert {"PCMLikeNoiseModel", "ReRamCMONoiseModel", "MeasuredNoiseModel"} <= listed


def test_infinite_bound_is_in_the_schema(schema):
    bound = schema["$defs"]["IOParameters"]["properties"]["out_bound"]
    assert {"const": "inf"} in bound["anyOf"]


def test_type_that_holds_its_own_family_has_a_schema(registered_types):
    class WrappingNoiseModel(NoiseModelConfig):
        """Wraps another model."""

        type: Literal["WrappingNoiseModel"] = "WrappingNoiseModel"
        inner: NoiseModelConfig

    assert "WrappingNoiseModel" in json_schema()["$defs"]


@pytest.fixture
def registered_types():
    """Types registered in a test are forgotten after it."""
    before = dict(NoiseModelConfig.members)
    yield
    NoiseModelConfig.members.clear()
    NoiseModelConfig.members.update(before)
    assert issubclass(NoiseModelConfig, TypedConfig)
