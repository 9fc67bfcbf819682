from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simulator.onnx.layouts import Gates, Shaped
from tests.unit.simulator.onnx.graphs import floats


@given(st.integers(1, 4), st.integers(1, 4), st.booleans(), st.sampled_from([1.0, 0.5, 4.0]))
def test_joining_undoes_splitting_a_matrix(rows, columns, transposed, scale):
    stored = floats(rows, columns)
    layout = Shaped((rows, columns), (columns, rows) if transposed else (rows, columns), transposed, scale)
    assert np.array_equal(layout.join(layout.split(stored)), stored)


@given(st.permutations(range(4)), st.integers(1, 2), st.integers(1, 2), st.integers(1, 3))
def test_joining_undoes_splitting_gates(order, directions, parts, hidden):
    layout = Gates(tuple(order), directions, parts)
    stored = floats(directions, parts * len(order) * hidden, 2)
    pieces = layout.split(stored)
    assert len(pieces) == directions * parts
    assert np.array_equal(layout.join(pieces), stored)


def test_a_single_number_is_spread_and_stored_apart():
    layout = Shaped((1,), (3,))
    (spread,) = layout.split(np.array([2.0], np.float32))
    assert spread.tolist() == [2.0, 2.0, 2.0]
    assert layout.join([np.array([1.0, 2.0, 3.0], np.float32)]).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("transposed", [False, True])
def test_a_matrix_is_the_one_that_torch_multiplies_with(transposed):
    stored = floats(3, 4)
    (weight,) = Shaped((3, 4), (4, 3) if transposed else (3, 4), transposed, 2.0).split(stored)
    x = floats(2, 3 if transposed else 4)
    expected = 2.0 * (x @ stored if transposed else x @ stored.T)
    linear = torch.nn.functional.linear(torch.from_numpy(x), torch.from_numpy(np.ascontiguousarray(weight)))
    assert np.allclose(linear.numpy(), expected, atol=1e-5)
