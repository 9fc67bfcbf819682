from __future__ import annotations

from itertools import pairwise

import onnx
import pytest
from onnx import defs

from simulator.onnx import limits
from simulator.onnx.operators import lookup, registered
from simulator.onnx.supported import ALWAYS_PLANNED, RECURRENT, SUPPORTED, SUPPORTED_VALUES

PLANNED_ONLY = ALWAYS_PLANNED | RECURRENT
OPSETS = range(limits.OLDEST_OPSET, min(limits.NEWEST_OPSET, defs.onnx_opset_version()) + 1)


def schema(name, opset):
    try:
        found = defs.get_schema(name, opset)
    except onnx.defs.SchemaError:
        return None
    return None if found.deprecated else found


def test_the_table_lists_what_is_registered():
    assert registered().keys() == SUPPORTED - PLANNED_ONLY


@pytest.mark.parametrize("name", sorted(SUPPORTED - PLANNED_ONLY))
def test_every_opset_that_has_the_operator_is_covered(name):
    assert all(lookup(name, opset) for opset in OPSETS if schema(name, opset))


@pytest.mark.parametrize("name", sorted(SUPPORTED - PLANNED_ONLY))
def test_every_attribute_is_computed_with_or_refused_or_of_no_effect(name):
    for opset in OPSETS:
        found = schema(name, opset)
        if found is not None:
            entry = lookup(name, opset)
            known = entry.attributes | entry.ignored | SUPPORTED_VALUES.get(name, {}).keys()
            assert found.attributes.keys() <= known, opset


@pytest.mark.parametrize("name", sorted(registered()))
def test_the_opsets_of_an_operators_functions_do_not_overlap(name):
    entries = sorted(registered()[name], key=lambda entry: entry.since)
    assert all(one.until < other.since for one, other in pairwise(entries))
