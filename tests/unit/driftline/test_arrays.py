from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from driftline import InvalidInput
from driftline.arrays import first_samples, to_npz

X, Y = np.arange(12, dtype=np.float32).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])


def unpacked(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        return dict(found)


def test_a_pair_is_x_and_y():
    found = unpacked(to_npz((X, Y)))
    assert np.array_equal(found["x"], X)
    assert np.array_equal(found["y"], Y)


def test_four_arrays_are_training_and_test():
    assert set(unpacked(to_npz((X, Y, X[:2], Y[:2])))) == {"x_train", "y_train", "x_test", "y_test"}


def test_tensors_come_without_their_gradients():
    x = torch.tensor(X, requires_grad=True)
    assert np.array_equal(unpacked(to_npz((x, torch.tensor(Y))))["x"], X)
    assert unpacked(to_npz((x.bfloat16(), Y)))["x"].dtype == np.float32


def test_lists_and_named_arrays_are_taken():
    assert unpacked(to_npz(([[1.0], [2.0]], [0, 1])))["x"].shape == (2, 1)
    assert set(unpacked(to_npz({"x": X, "x_mask": X > 1, "y": Y}))) == {"x", "x_mask", "y"}


def test_equal_arrays_give_equal_bytes():
    assert to_npz((X, Y)) == to_npz((X.copy(), list(Y)))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ((X, Y[:-1]), "x has 6 samples, y has 5 samples"),
        ((X, Y, X, Y[:-2]), "x_test has 6 samples, y_test has 4 samples"),
        ((X, 3), "y is a single number"),
        ((X[:0], Y[:0]), "x holds no samples"),
        ((X, ["a"] * 6), "y holds <U1, not numbers"),
        ((X, np.array([None] * 6)), "y holds object, not numbers"),
        (([[1], [1, 2]], [0, 1]), "x is not an array of numbers"),
        ((X,), "a tuple of 1 is not a dataset"),
        ((X, Y, X), "a tuple of 3 is not a dataset"),
        (X, "a ndarray is not a dataset"),
        ({"images": X}, "named images"),
        ({}, "named nothing"),
        ({"x": X}, "no y"),
        (None, "a NoneType is not a dataset"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_sent(data, told):
    with pytest.raises(InvalidInput, match=told):
        to_npz(data)


def test_all_faults_are_told_at_once():
    with pytest.raises(InvalidInput) as told:
        to_npz((X, Y[:-1], X, Y[:-2]))
    assert len(str(told.value).splitlines()) == 2


def test_the_first_samples_serve_as_an_example():
    assert np.array_equal(first_samples((X, Y), 2), X[:2])
    assert first_samples("builtin:digits", 2) is None
    assert first_samples({"x": X, "y": Y}, 2) is None
