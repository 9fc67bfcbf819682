from typing import Annotated

import pytest
from fastapi import APIRouter, Query
from pydantic import Field, ValidationError

from app.kit.faults import from_request_validation
from app.kit.query import NoParameters, QueryModel
from app.kit.routing import StrictRoute


class CircleQuery(QueryModel):
    radius_mm: float = Field(default=1.0, gt=0)
    colour: list[str] = Field(default_factory=list, alias="color")


def faults(model, given):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given)
    errors = [{**error, "loc": ("query", *error["loc"])} for error in caught.value.errors()]
    return {(fault.pointer, fault.code): fault for fault in from_request_validation(errors, None)}


def test_known_parameters_are_read_by_their_alias():
    query = CircleQuery.model_validate({"radius_mm": "2.5", "color": ["red"]})
    assert (query.radius_mm, query.colour) == (2.5, ["red"])


def test_all_faults_are_found_at_once():
    given = {"radius_mm": "-1", "color": ["red", "b\0"], "radius": "1", "colour": "red"}
    found = faults(CircleQuery, given)
    assert set(found) == {
        ("/query/radius_mm", "greater_than"),
        ("/query/color", "nul_character"),
        ("/query/radius", "unknown_parameter"),
        ("/query/colour", "unknown_parameter"),
    }
    assert found["/query/colour", "unknown_parameter"].hint.startswith("did you mean 'color'?")


def test_a_query_without_parameters_refuses_every_name():
    found = faults(NoParameters, {"page": "2"})
    assert found["/query/page", "unknown_parameter"].hint == "known: none"


def test_an_endpoint_without_a_query_refuses_every_name(small):
    answer = small.post("/v1/anything?colour=red", json={"a": 1})
    assert answer.status_code == 422
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [
        ("/query/colour", "unknown_parameter")
    ]


def test_an_endpoint_whose_parameters_are_not_one_model_is_a_mistake_of_the_program():
    router = APIRouter(route_class=StrictRoute)

    def draw(radius_mm: Annotated[float, Query()] = 1.0) -> float:
        return radius_mm

    with pytest.raises(TypeError, match="has to be one QueryModel"):
        router.get("/circle")(draw)
