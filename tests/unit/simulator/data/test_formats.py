"""Datasets as safetensors, CSV and Parquet: the same samples, whatever the file."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from safetensors.numpy import save_file

from simulator.data.errors import DatasetRejectedError
from simulator.data.inspection import inspect
from simulator.data.loading import load_dataset
from simulator.data.options import DatasetOptions, ImageLayout
from simulator.data.reading import read
from tests.unit.simulator.data.conftest import split_set

FEATURES = ["a", "b", "c", "d"]


def refused(path, file_format, options=None):
    with pytest.raises(DatasetRejectedError) as caught:
        inspect(path, file_format, options)
    return [fault.code for fault in caught.value.faults]


def table_of(arrays, *, words=False):
    """Return the rows of a split set as a table with a column that says the split."""
    columns: dict = {}
    x = np.concatenate([arrays["x_train"], arrays["x_test"]])
    y = np.concatenate([arrays["y_train"], arrays["y_test"]])
    for index, name in enumerate(FEATURES):
        columns[name] = x[:, index]
    columns["label"] = [f"class {label}" for label in y] if words else y
    columns["split"] = ["train"] * len(arrays["y_train"]) + ["test"] * len(arrays["y_test"])
    return pa.table(columns)


WRITERS = {
    "npz": lambda arrays, path: np.savez_compressed(path, **arrays),
    "safetensors": save_file,
    "csv": lambda arrays, path: csv.write_csv(table_of(arrays), path),
    "parquet": lambda arrays, path: parquet.write_table(table_of(arrays), path),
}


@pytest.mark.parametrize("file_format", WRITERS)
def test_the_same_samples_come_out_of_every_format(file_format, tmp_path):
    arrays = split_set(samples=20)
    path = tmp_path / f"data.{file_format}"
    WRITERS[file_format](arrays, path)
    dataset = load_dataset("mine", path, file_format=file_format)
    assert dataset.classes == 3
    for split, name in ((dataset.train, "train"), (dataset.test, "test")):
        assert np.array_equal(split.inputs[0].numpy(), arrays[f"x_{name}"])
        assert np.array_equal(split.targets.numpy(), arrays[f"y_{name}"])
    report = inspect(path, file_format)
    assert report["inputs"] == [{"name": "x", "dtype": "float32", "shape": [4]}]
    assert (report["train_size"], report["test_size"]) == (20, 20)


@pytest.mark.parametrize("write", [csv.write_csv, parquet.write_table])
def test_labels_in_words_become_classes(write, tmp_path):
    write(table_of(split_set(samples=20), words=True), tmp_path / "data")
    report = inspect(tmp_path / "data", "csv" if write is csv.write_csv else "parquet")
    assert report["class_names"] == ["class 0", "class 1", "class 2"]
    assert report["targets"]["kind"] == "class"
    assert report["classes"] == 3


def test_lists_are_inputs_of_their_own(tmp_path):
    table = pa.table(
        {
            "x": [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]] * 6,
            "x_ids": pa.array([[1, 2]] * 6, pa.list_(pa.int32(), 2)),
            "y": [0.5] * 6,
        }
    )
    parquet.write_table(table, tmp_path / "data")
    report = inspect(tmp_path / "data", "parquet", DatasetOptions(test_fraction=0.5))
    assert report["inputs"] == [
        {"name": "x", "dtype": "float64", "shape": [2, 3]},
        {"name": "ids", "dtype": "int32", "shape": [2]},
    ]
    assert report["targets"]["kind"] == "real"


def test_csv_of_a_spreadsheet(tmp_path):
    (tmp_path / "iris.csv").write_text(
        "\ufeffsepal,petal,class\r\n5,1.4,setosa\r\n7,4.7,versicolor\r\n6.3,6,virginica\r\n", encoding="utf-8"
    )
    report = inspect(tmp_path / "iris.csv", "csv", DatasetOptions(test_fraction=0.4))
    assert report["inputs"][0]["shape"] == [2]
    assert report["class_names"] == ["setosa", "versicolor", "virginica"]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("", ["not_csv"]),
        ("a,b\n1,2\n", ["missing_array"]),
        ("y,label,a\n1,2,3\n", ["missing_array"]),
        ("y,a\n1,2\n3\n", ["not_csv"]),
        ("y,a\n0,1\n1,\n", ["non_finite_values"]),
        ("y,a\n0,1\n1,nan\n", ["non_finite_values"]),
        ("y,a\n0,red\n1,blue\n", ["bad_dtype"]),
        ("y,a,b\n0,red,1\n1,blue,\n", ["bad_dtype", "non_finite_values"]),
        ("y,a,b\n0,red,1e400\n1,blue,2\n", ["bad_dtype", "non_finite_values"]),
        ("y\n0\n1\n", ["missing_array"]),
        ("y,a,a\n0,1,1\n1,1,1\n", ["bad_columns"]),
        ("y,a,split\n0,1,train\n1,2,validate\n", ["bad_columns"]),
        ("y,a\n", ["empty_dataset"]),
        ("y,a\n-3,1\n1,2\n", ["bad_labels"]),
        ("y,a\ncat,1\n,2\n", ["bad_labels"]),
    ],
)
def test_faulty_csv_is_refused_with_every_fault(text, codes, tmp_path):
    (tmp_path / "data").write_text(text)
    assert refused(tmp_path / "data", "csv") == codes


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"a;b;y\n1,5;2;0\n1;2;1\n", "separated by semicolons"),  # decimal commas beside
        (b"a;b;y\n1;2;0\n1;2;1\n", "separated by semicolons"),
        ("a,name,y\n1,Käse,0\n2,Brot,1\n".encode("latin-1"), "save the file as UTF-8"),
        ("a,y\n1,Käse\n2,Brot\n".encode("latin-1"), "save the file as UTF-8"),
    ],
)
def test_tables_of_other_programs_are_refused_with_what_to_do(content, hint, tmp_path):
    (tmp_path / "data").write_bytes(content)
    with pytest.raises(DatasetRejectedError) as caught:
        inspect(tmp_path / "data", "csv")
    assert hint in caught.value.faults[0].hint


@pytest.mark.parametrize(("header", "doubts"), [(",a,y", 1), ("Unnamed: 0,a,y", 1), ("b,a,y", 0)])
def test_the_index_of_a_data_frame_among_the_features_is_doubted(header, doubts, tmp_path):
    (tmp_path / "data").write_text(f"{header}\n0,5,1\n1,7,0\n2,6,1\n")
    told = inspect(tmp_path / "data", "csv", DatasetOptions(test_fraction=0.4))["warnings"]
    assert sum("index=False" in one for one in told) == doubts


@pytest.mark.parametrize("file_format", ["csv", "parquet", "safetensors", "npz"])
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PAR1 and nothing PAR1", bytes(range(256)) * 10])
def test_bytes_of_another_kind_are_refused(file_format, content, tmp_path):
    (tmp_path / "data").write_bytes(content)
    assert len(refused(tmp_path / "data", file_format)) == 1


def test_lists_of_unequal_lengths_are_refused(tmp_path):
    parquet.write_table(pa.table({"x": [[1.0], [1.0, 2.0]], "y": [0, 1]}), tmp_path / "data")
    assert refused(tmp_path / "data", "parquet") == ["feature_shape_mismatch"]


def test_a_packed_column_of_many_equal_numbers_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "data"
    schema = pa.schema([("a", pa.float32()), ("y", pa.int64())])
    with parquet.ParquetWriter(path, schema) as writer:
        ones = pa.array(np.ones(1 << 20, np.float32)), pa.array(np.ones(1 << 20, np.int64))
        for _ in range(70):
            writer.write_table(pa.Table.from_arrays(list(ones), schema=schema))
    assert path.stat().st_size < 1 << 20
    assert refused(path, "parquet") == ["too_large"]


def test_a_header_that_promises_more_than_the_file_has_is_refused(tmp_path):
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    (tmp_path / "data").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 64)
    assert refused(tmp_path / "data", "safetensors") == ["not_safetensors"]


def test_types_that_numpy_has_not_are_named(tmp_path):
    header = json.dumps({"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "data").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    assert refused(tmp_path / "data", "safetensors") == ["bad_dtype"]


def test_tables_are_read_within_the_limits_of_the_child(tmp_path):
    path = tmp_path / "data.parquet"
    parquet.write_table(table_of(split_set(samples=2000)), path)
    command = [sys.executable, "-m", "simulator.data", "inspect", str(path), "--format", "parquet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["train_size"] == 2000


def test_arrays_that_are_not_read_are_no_secret(tmp_path):
    with pytest.raises(DatasetRejectedError, match="npz, safetensors, parquet, csv, not 'xlsx'"):
        read(tmp_path / "data", "xlsx")


IMAGES = (np.arange(6 * 4 * 5 * 3) // 2).astype(np.uint8).reshape(6, 4, 5, 3)


def test_images_are_prepared_as_declared(write_npz):
    path = write_npz(x=IMAGES, y=np.arange(6) % 2)
    options = DatasetOptions(
        test_fraction=0.5, mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0), layout=ImageLayout.CHANNELS_LAST
    )
    assert inspect(path, "npz", options)["inputs"][0]["shape"] == [3, 4, 5]
    dataset = load_dataset("mine", path, options=options)
    expected = (IMAGES / np.float32(255) - np.float32([0.1, 0.2, 0.3])) / np.float32([0.5, 1.0, 2.0])
    found = np.concatenate([dataset.train.inputs[0], dataset.test.inputs[0]]).transpose(0, 2, 3, 1)
    order = np.argsort(found.reshape(6, -1)[:, 0])
    assert np.allclose(found[order], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ({"mean": (1.0, 2.0)}, ["bad_preprocessing"]),
        ({"std": (0.0,)}, ["bad_preprocessing"]),
        ({"std": (0.0, 1.0)}, ["bad_preprocessing", "bad_preprocessing"]),
        ({"mean": (float("nan"),)}, ["bad_preprocessing"]),
        ({"layout": ImageLayout.CHANNELS_LAST, "test_fraction": 2.0}, ["bad_test_fraction"]),
    ],
)
def test_declarations_that_do_not_fit_are_refused(options, codes, write_npz):
    given = {"test_fraction": 0.5, "layout": ImageLayout.CHANNELS_LAST, **options}
    assert refused(write_npz(x=IMAGES, y=np.arange(6) % 2), "npz", DatasetOptions(**given)) == codes


def test_channels_last_is_for_images(write_npz):
    path = write_npz(x=np.zeros((6, 4), np.float32), y=np.arange(6) % 2)
    options = DatasetOptions(test_fraction=0.5, layout=ImageLayout.CHANNELS_LAST)
    assert refused(path, "npz", options) == ["bad_preprocessing"]


def test_whole_numbers_are_not_standardised(write_npz):
    path = write_npz(x=np.zeros((6, 4), np.int64), y=np.arange(6) % 2)
    assert refused(path, "npz", DatasetOptions(test_fraction=0.5, mean=(1.0,))) == ["bad_preprocessing"]


@pytest.mark.parametrize(
    ("targets", "kind", "classes"),
    [
        (np.arange(6) % 3, "class", 3),
        (np.eye(6, dtype=np.uint8), "one_hot", 6),
        (np.eye(6, dtype=np.float32), "one_hot", 6),
        (np.eye(6, dtype=bool), "one_hot", 6),
        (np.eye(4)[np.arange(24) % 4].reshape(6, 4, 4), "one_hot", 4),
        (np.tri(6, dtype=np.uint8), "labels", None),
        (np.tri(6, dtype=np.float32), "labels", None),
        (np.arange(6)[:, None] % 3, "class_or_value", 3),
        (np.arange(6) % 2 * 1.0, "class_or_value", 2),
        (np.arange(6)[:, None] % 2 * 1.0, "class_or_value", 2),
        (np.arange(6) * 1000.0, "real", None),
        (np.arange(6) - 2.0, "real", None),
        (np.arange(6) / 2, "real", None),
        (np.arange(24).reshape(6, 4), "class_per_position", 24),
        (np.where(np.arange(24) % 5 == 0, -100, np.arange(24) % 7).reshape(6, 4), "class_per_position", 7),
        (np.arange(24).reshape(6, 4) - 50, "real", None),
        (np.full((6, 2), 0.5, np.float32), "real", None),
    ],
)
def test_targets_are_told_apart(targets, kind, classes, write_npz):
    x = np.zeros((6, 4), np.float32)
    report = inspect(write_npz(x=x, y=targets), "npz", DatasetOptions(test_fraction=0.5))
    assert (report["targets"]["kind"], report["classes"]) == (kind, classes)
