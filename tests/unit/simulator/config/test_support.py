from __future__ import annotations

import pytest

from simulator.config import InferenceRPUConfig, unsupported
from simulator.config.faults import leaf_fields, pointer_to
from simulator.config.support import LIMITED, SUPPORTED, inert_parts


def test_every_field_is_supported_limited_or_inert():
    fields = {dotted for dotted, _, _ in leaf_fields(InferenceRPUConfig())}
    inert = {dotted for dotted in fields if dotted.split(".")[0] in inert_parts()}
    assert inert_parts() == ("runtime", "backward", "update", "device")
    assert fields - inert == SUPPORTED | LIMITED.keys()
    assert SUPPORTED.isdisjoint(LIMITED)


def test_defaults_are_supported():
    assert unsupported(InferenceRPUConfig()) == []


@pytest.mark.parametrize("dotted", LIMITED)
def test_default_of_a_limited_field_works(dotted):
    defaults = {name: default for name, _, default in leaf_fields(InferenceRPUConfig())}
    assert defaults[dotted] in LIMITED[dotted]


@pytest.mark.parametrize("dotted", LIMITED)
def test_value_that_does_not_work_yet_is_reported(dotted):
    config = InferenceRPUConfig()
    *parents, name = dotted.split(".")
    model = config
    for parent in parents:
        model = getattr(model, parent)
    others = {bool: [True, False], float: [0.25], int: [7]}
    value = getattr(model, name)
    candidates = list(type(value)) if hasattr(type(value), "__members__") else others[type(value)]
    refused = [c for c in candidates if c not in LIMITED[dotted]]
    if hasattr(type(value), "__members__"):
        refused = [c for c in refused if c not in ("SplitMode", "BitWise", "Shift")]
    setattr(model, name, refused[0])
    (fault,) = unsupported(config)
    assert (fault.pointer, fault.code) == (pointer_to(dotted), "not_yet_supported")
