"""Uploads to the real API."""

from __future__ import annotations

from pathlib import Path

import anyio
import numpy as np
import onnx
import pytest
import torch

from driftline import AsyncDriftline, Dataset, InvalidInput, InvalidRequest, Model, NotFound, UnknownName

MODEL = Path(__file__).parents[4] / "examples" / "mnist_cnn.onnx"
X, Y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2


def test_the_same_model_has_the_same_id_however_it_is_given(driftline):
    first = driftline.upload_model(MODEL)
    assert isinstance(first, Model)
    assert first.name == "mnist_cnn"
    for again in (str(MODEL), MODEL.read_bytes()):
        assert driftline.upload_model(again).id == first.id
    assert [one.id for one in driftline.models()] == [first.id]
    assert driftline.model(first) == driftline.model(first.id) == first
    assert first.analog_layers


def test_a_model_of_onnx_is_taken(driftline):
    assert driftline.upload_model(onnx.load(MODEL)).parameters > 1000


def test_a_module_of_torch_is_exported(driftline):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    model = driftline.upload_model(module, X[:2])
    assert model.name == "Sequential"
    assert [layer.kind for layer in model.layers] == ["analog", "digital", "analog"]


def test_a_file_with_external_weights_is_sent_with_them(driftline, tmp_path):
    model = onnx.load(MODEL)
    path = tmp_path / "big.onnx"
    onnx.save(model, path, save_as_external_data=True, location="big.onnx.data", size_threshold=0)
    first = driftline.upload_model(path)
    assert first.parameters == driftline.upload_model(MODEL).parameters
    assert driftline.upload_model(path).id == first.id


@pytest.mark.parametrize("model", ["nowhere.onnx", 7, None, [1.0]])
def test_what_is_no_model_is_told(driftline, model):
    with pytest.raises(InvalidInput, match="model"):
        driftline.upload_model(model)


def test_what_the_service_refuses_is_told_with_its_code(driftline):
    with pytest.raises(InvalidRequest) as told:
        driftline.upload_model(b"not onnx")
    assert told.value.code == "not_onnx"


def test_arrays_become_a_dataset(driftline):
    dataset = driftline.upload_dataset((X, Y), name="mine", test_fraction=0.25, seed=3)
    assert isinstance(dataset, Dataset)
    assert (dataset.name, dataset.train_size, dataset.test_size, dataset.classes) == ("mine", 15, 5, 2)
    assert driftline.upload_dataset((X, Y), test_fraction=0.25, seed=3).id == dataset.id
    assert driftline.dataset(dataset).id == dataset.id
    assert {"builtin:digits", dataset.id} <= {one.id for one in driftline.datasets()}
    driftline.delete_dataset(dataset)
    with pytest.raises(NotFound):
        driftline.dataset(dataset.id)


def test_files_become_datasets_by_their_ending(driftline, tmp_path):
    table = tmp_path / "iris.csv"
    table.write_text("a,b,label\n" + "".join(f"{n},{n * n},{'xy'[n % 2]}\n" for n in range(10)))
    dataset = driftline.upload_dataset(table)
    assert (dataset.name, dataset.format, dataset.class_names) == ("iris", "csv", ["x", "y"])


def test_options_of_images_are_passed_on(driftline):
    images = np.zeros((10, 4, 4, 3), np.uint8)
    dataset = driftline.upload_dataset((images, Y[:10]), layout="nhwc", mean=[0.5, 0.4, 0.3], std=0.25)
    assert dataset.options == {"layout": "nhwc", "mean": [0.5, 0.4, 0.3], "std": [0.25]}


@pytest.mark.parametrize(("name", "told"), [("data.txt", "ends in .txt"), ("gone.csv", "there is no file")])
def test_a_file_that_cannot_be_sent_is_told(driftline, tmp_path, name, told):
    (tmp_path / "data.txt").write_text("x")
    with pytest.raises(InvalidInput, match=told):
        driftline.upload_dataset(tmp_path / name)


def test_presets_are_found_by_name(driftline):
    names = [one.name for one in driftline.presets()]
    assert "PCMExamplePreset" in names
    assert driftline.preset("PCMExamplePreset").effective["noise_model"]
    with pytest.raises(UnknownName, match="PCMExamplePreset"):
        driftline.preset("PCMExamplPreset")


def test_configurations_are_checked(driftline):
    checked = driftline.validate_config({"preset": "PCMExamplePreset"})
    assert len(checked.config_hash) == 64
    with pytest.raises(InvalidRequest) as told:
        driftline.validate_config({"forward": {"out_noize": 1}})
    assert told.value.faults[0].pointer == "/forward/out_noize"


def test_the_asynchronous_client_does_the_same(api):
    async def upload() -> tuple[str, str]:
        async with AsyncDriftline(api.url) as driftline:
            return (await driftline.upload_model(MODEL)).id, (await driftline.upload_dataset((X, Y))).id

    assert len(set(anyio.run(upload))) == 2
