from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest

from simulator.data.arrays import read_npz
from simulator.data.errors import DatasetRejectedError
from simulator.data.inspection import inspect
from simulator.data.options import DatasetOptions
from tests.unit.simulator.data.conftest import classes_set, npy_bytes, split_set

FIFTH = DatasetOptions(test_fraction=0.2)


def refusal(path, file_format="npz", test_fraction=None) -> DatasetRejectedError:
    with pytest.raises(DatasetRejectedError) as caught:
        inspect(path, file_format, DatasetOptions(test_fraction=test_fraction))
    return caught.value


def test_the_report_of_a_split_set(write_npz):
    path = write_npz(**split_set(samples=12, features=(3, 8)))
    found = inspect(path, "npz")
    assert len(found.pop("samples")) == 8
    assert found == {
        "inputs": [{"name": "x", "dtype": "float32", "shape": [3, 8]}],
        "targets": {"dtype": "int64", "shape": [], "kind": "class"},
        "classes": 3,
        "train_size": 12,
        "test_size": 12,
        "warnings": [],
        "class_names": None,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def test_a_set_that_is_not_split_is_split_as_asked(write_npz):
    report = inspect(write_npz(**classes_set(samples=20)), "npz", DatasetOptions(test_fraction=0.25))
    assert (report["train_size"], report["test_size"]) == (15, 5)


def test_a_set_that_is_not_split_gets_a_test_set_and_a_warning(write_npz):
    report = inspect(write_npz(**classes_set(samples=20)), "npz")
    assert report["test_size"] == 4
    assert "no test set" in report["warnings"][0]


def test_real_targets_are_told(write_npz):
    targets = np.zeros((10, 2), np.float64)
    report = inspect(write_npz(**{**classes_set(), "y": targets}), "npz", FIFTH)
    assert report["targets"] == {"dtype": "float64", "shape": [2], "kind": "real"}
    assert report["classes"] is None


def test_several_inputs_are_told_in_order_the_first_being_x(write_npz):
    arrays = split_set()
    arrays |= {"x_mask_train": np.ones((10, 4), bool), "x_mask_test": np.ones((10, 4), bool)}
    names = [entry["name"] for entry in inspect(write_npz(**arrays), "npz")["inputs"]]
    assert names == ["x", "mask"]


def test_classes_that_no_training_sample_has_are_a_warning(write_npz):
    arrays = {**classes_set(), "y": np.array([0, 7] * 5)}
    assert any(
        "6 of the 8 classes" in warning for warning in inspect(write_npz(**arrays), "npz", FIFTH)["warnings"]
    )


def test_labels_in_a_column_are_a_warning(write_npz):
    arrays = {**classes_set(), "y": np.arange(10)[:, None]}
    assert any(
        "column of their own" in warning for warning in inspect(write_npz(**arrays), "npz", FIFTH)["warnings"]
    )


def test_numbers_in_the_other_byte_order_are_read(write_npz):
    arrays = classes_set()
    report = inspect(
        write_npz(x=arrays["x"].astype(">f4"), y=arrays["y"].astype(">i4")),
        "npz",
        FIFTH,
    )
    assert report["inputs"][0]["dtype"] == "float32"
    assert report["targets"]["dtype"] == "int32"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"y": None}, "missing_array"),
        ({"x": None}, "missing_array"),
        ({"z": np.zeros(10)}, "unknown_array"),
        ({"y": np.zeros(9, int)}, "length_mismatch"),
        ({"y": np.array(3)}, "length_mismatch"),
        ({"x": np.zeros((10, 0), np.float32)}, "empty_dataset"),
        ({"x": np.zeros((0, 4)), "y": np.zeros(0, int)}, "empty_dataset"),
        ({"x": np.zeros((1, 4)), "y": np.zeros(1, int)}, "empty_dataset"),
        ({"y": np.arange(10) - 1}, "bad_labels"),
        ({"y": np.arange(10) * 10**6}, "bad_labels"),
        ({"x": np.full((10, 4), np.nan)}, "non_finite_values"),
        ({"x": np.full((10, 4), np.inf)}, "non_finite_values"),
        ({"x": np.full((10, 4), 1e300)}, "non_finite_values"),
        ({"x": np.zeros((10, 4), np.complex64)}, "bad_dtype"),
        ({"x": np.array(["a"] * 10)}, "bad_dtype"),
        ({"x": np.array([b"a"] * 10)}, "bad_dtype"),
        ({"x": np.zeros(10, "datetime64[s]")}, "bad_dtype"),
        ({"x": np.zeros(10, [("a", "f4")])}, "bad_dtype"),
        ({"x": np.array([{}] * 10, object)}, "bad_dtype"),
    ],
)
def test_an_unusable_set_is_refused_with_its_code(write_npz, change, code):
    arrays = {name: array for name, array in {**classes_set(), **change}.items() if array is not None}
    error = refusal(write_npz(**arrays), test_fraction=0.2)
    assert error.code == code, error


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"x_test": np.zeros((10, 5), np.float32)}, "feature_shape_mismatch"),
        ({"x_test": np.zeros((10, 4), np.int32)}, "bad_dtype"),
        ({"y_test": np.zeros((10, 2), int)}, "feature_shape_mismatch"),
        ({"x_mask_train": np.zeros((10, 1))}, "missing_array"),
        ({"x_test": None}, "missing_array"),
    ],
)
def test_training_and_test_set_have_to_fit(write_npz, change, code):
    arrays = {name: array for name, array in {**split_set(), **change}.items() if array is not None}
    assert refusal(write_npz(**arrays)).code == code


def test_every_fault_is_told(write_npz):
    arrays = split_set()
    arrays["x_train"] = np.full((10, 4), np.nan)
    arrays["y_test"] = arrays["y_test"] - 1
    arrays["extra"] = np.zeros(3)
    codes = {fault.code for fault in refusal(write_npz(**arrays)).faults}
    assert codes == {"non_finite_values", "bad_labels", "unknown_array"}


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 7.0, float("nan"), float("inf")])
def test_an_impossible_test_fraction_is_refused(write_npz, fraction):
    assert refusal(write_npz(**classes_set()), test_fraction=fraction).code == "bad_test_fraction"


def test_a_test_fraction_for_a_split_set_is_refused(write_npz):
    assert refusal(write_npz(**split_set()), test_fraction=0.5).code == "test_fraction_ignored"


def test_a_format_that_is_not_read_is_refused(write_npz):
    assert refusal(write_npz(**split_set()), "hdf5").code == "unsupported_format"


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(99), pickle.dumps([1]), b"PK\x03\x04" + bytes(99)]
)
def test_what_is_no_npz_is_refused(tmp_path, content):
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    assert refusal(path).code == "not_npz"


def test_a_truncated_file_is_refused(write_npz):
    path = write_npz(**split_set())
    path.write_bytes(path.read_bytes()[:-40])
    assert refusal(path).code == "not_npz"


def header_of(shape, descr="<f4"):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text = text.ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "shape", ["(-3, -4)", "(3, -4)", "(10**9, 10**9)", "(2, 7)", "(1000000000, 1000000000)"]
)
def test_a_header_that_contradicts_its_data_is_refused(write_zip, shape):
    path = write_zip({"x.npy": header_of(shape) + bytes(48), "y.npy": npy_bytes(np.zeros(3, int))})
    assert refusal(path, test_fraction=0.5).code == "not_npz"


def test_a_header_nested_beyond_reason_is_refused(write_zip):
    path = write_zip({"x.npy": header_of("(" * 3000 + ")" * 3000), "y.npy": npy_bytes(np.zeros(3, int))})
    assert refusal(path).code == "not_npz"


def test_a_pickle_in_an_array_is_never_run(write_zip, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = write_zip({"x.npy": npy_bytes(np.array([Bomb()], object)), "y.npy": npy_bytes(np.zeros(1, int))})
    assert refusal(path).code == "bad_dtype"
    assert not (tmp_path / "ran").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(write_zip):
    path = write_zip({f"{name}.npy": bytes(1 << 20) for name in ("x", "y")})
    assert path.stat().st_size < 1 << 14
    with pytest.raises(DatasetRejectedError) as caught:
        read_npz(path, max_bytes=1 << 20)
    assert caught.value.code == "too_large"


def test_too_many_members_are_refused(write_zip):
    assert refusal(write_zip({f"a{i}.npy": b"" for i in range(100)})).code == "too_large"


def test_an_array_that_would_take_the_place_of_the_first_input_is_refused(write_npz):
    (fault,) = refusal(write_npz(**classes_set(), x_x=np.ones((10, 4))), test_fraction=0.2).faults
    assert fault.code == "bad_columns"
    assert "'x_x'" in fault.message


def test_bytes_in_training_are_bytes_in_test(write_npz):
    arrays = split_set()
    arrays["x_train"] = arrays["x_train"].astype(np.uint8)
    arrays["x_test"] = arrays["x_test"].astype(np.uint16)
    assert [fault.code for fault in refusal(write_npz(**arrays)).faults] == ["bad_dtype"]


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        (np.array(["cat", "dog"] * 5), "numpy.unique"),
        (np.array([b"cat", b"dog"] * 5), "numpy.unique"),
        (np.array(["cat", None] * 5, dtype=object), "numpy.unique"),
        (np.zeros(10, np.complex64), "real and imaginary"),
        (np.zeros(10, "M8[s]"), "int64"),
    ],
)
def test_an_array_of_another_type_is_refused_with_the_way_to_numbers(write_npz, labels, hint):
    (fault,) = refusal(write_npz(**{**classes_set(), "y": labels}), test_fraction=0.2).faults
    assert fault.code == "bad_dtype"
    assert hint in fault.hint


@pytest.mark.parametrize(
    ("labels", "told"), [([0] * 8 + [1] * 2, True), ([0] * 6 + [1] * 4, False), ([0, 1] * 5, False)]
)
def test_a_class_that_most_samples_have_is_a_warning(write_npz, labels, told):
    found = inspect(write_npz(**{**classes_set(), "y": np.array(labels)}), "npz", FIFTH)["warnings"]
    assert any("80% of the samples" in warning for warning in found) == told
