from __future__ import annotations

import numpy as np
import pytest
import torch

from simulator.data.catalogue import BUILTINS
from simulator.data.loading import load_dataset
from simulator.data.options import DatasetOptions
from tests.unit.simulator.data.conftest import classes_set, split_set


@pytest.mark.parametrize(
    ("ref", "train", "test", "shape", "classes"),
    [
        ("builtin:mnist10k", 8000, 2000, (1, 28, 28), 10),
        ("builtin:digits", 1198, 599, (64,), 10),
        ("builtin:japanese_vowels", 270, 370, (12, None), 9),
        ("builtin:wine", 119, 59, (13,), 3),
        ("builtin:breast_cancer", 379, 190, (30,), 2),
    ],
)
def test_the_built_in_sets(ref, train, test, shape, classes):
    dataset = load_dataset(ref)
    for part, samples in ((dataset.train, train), (dataset.test, test)):
        (x,) = part.inputs
        assert len(x) == len(part.targets) == samples
        assert all(wanted in (None, found) for wanted, found in zip(shape, x.shape[1:], strict=True))
        assert x.dtype is torch.float32
        assert part.targets.dtype is torch.int64
        assert set(part.targets.unique().tolist()) == set(range(classes))
    assert dataset.classes == classes


@pytest.mark.parametrize("ref", ["builtin:mnist10k", "builtin:digits"])
def test_pixels_go_from_0_to_1(ref):
    (x,) = load_dataset(ref).train.inputs
    assert x.min() == 0
    assert x.max() == 1


@pytest.mark.parametrize("ref", ["builtin:wine", "builtin:breast_cancer"])
def test_tabular_features_are_standardised_over_the_training_set(ref):
    (x,) = load_dataset(ref).train.inputs
    assert torch.allclose(x.mean(0), torch.zeros(x.shape[1]), atol=1e-5)
    assert torch.allclose(x.std(0, correction=0), torch.ones(x.shape[1]), atol=1e-5)


@pytest.mark.parametrize("ref", sorted(BUILTINS))
def test_no_test_sample_is_in_the_training_set(ref):
    dataset = load_dataset(ref)
    seen = {sample.numpy().tobytes() for sample in dataset.train.inputs[0]}
    assert not any(sample.numpy().tobytes() in seen for sample in dataset.test.inputs[0])


def test_an_unknown_built_in_set_is_told_with_the_known_ones():
    with pytest.raises(LookupError, match="builtin:digits"):
        load_dataset("builtin:cifar10")


def test_the_split_depends_on_the_seed_alone(write_npz):
    path = write_npz(**classes_set(samples=50))
    torch.manual_seed(1)
    first = load_dataset("mine", path, options=DatasetOptions(test_fraction=0.2, seed=3))
    torch.manual_seed(2)
    again = load_dataset("mine", path, options=DatasetOptions(test_fraction=0.2, seed=3))
    other = load_dataset("mine", path, options=DatasetOptions(test_fraction=0.2, seed=4))
    assert torch.equal(first.test.inputs[0], again.test.inputs[0])
    assert not torch.equal(first.test.inputs[0], other.test.inputs[0])


def test_a_split_keeps_every_sample_with_its_target_once(write_npz):
    arrays = classes_set(samples=50)
    dataset = load_dataset("mine", write_npz(**arrays), options=DatasetOptions(test_fraction=0.3, seed=0))
    pairs = [
        (tuple(x.tolist()), int(y))
        for part in (dataset.train, dataset.test)
        for x, y in zip(part.inputs[0], part.targets, strict=True)
    ]
    assert sorted(pairs) == sorted(
        (tuple(x.tolist()), int(y)) for x, y in zip(arrays["x"], arrays["y"], strict=True)
    )


def test_bytes_become_numbers_from_0_to_1_and_other_integers_stay(write_npz):
    arrays = split_set()
    for part in ("train", "test"):
        arrays[f"x_{part}"] = np.full((10, 4), 255, np.uint8)
        arrays[f"x_tokens_{part}"] = np.full((10, 2), 255, np.int32)
    image, tokens = load_dataset("mine", write_npz(**arrays)).train.inputs
    assert image.dtype is torch.float32
    assert image.unique().tolist() == [1.0]
    assert tokens.dtype is torch.int64
    assert tokens.unique().tolist() == [255]


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", bool])
def test_other_numbers_become_float32(write_npz, dtype):
    arrays = split_set()
    arrays |= {name: arrays[name].astype(dtype) for name in ("x_train", "x_test")}
    (x,) = load_dataset("mine", write_npz(**arrays)).train.inputs
    assert x.dtype is torch.float32
    assert np.array_equal(x.numpy(), arrays["x_train"].astype(np.float32))


def test_real_targets_stay_real(write_npz):
    arrays = split_set()
    arrays |= {name: np.linspace(0, 1, 10) for name in ("y_train", "y_test")}
    dataset = load_dataset("mine", write_npz(**arrays))
    assert dataset.classes is None
    assert dataset.train.targets.dtype is torch.float32


def test_inputs_come_in_the_order_of_the_network_in_training_and_in_test(write_npz):
    arrays = {
        f"x{key}_train": np.full((4, 2), value) for key, value in {"": 1, "_mask": 2, "_ids": 3}.items()
    }
    arrays |= {
        f"x{key}_test": np.full((4, 2), value) for key, value in {"_ids": 3, "": 1, "_mask": 2}.items()
    }
    arrays |= {"y_train": np.array([0, 1, 0, 1]), "y_test": np.array([0, 1, 0, 1])}
    path = write_npz(**arrays)
    for names, values in (((), [1, 2, 3]), (("ids", "segments", "mask"), [3, 1, 2])):
        loaded = load_dataset("mine", path, inputs=names)
        for part in (loaded.train, loaded.test):
            assert [int(tensor[0, 0]) for tensor in part.inputs] == values
