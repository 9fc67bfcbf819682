"""Models and datasets of kinds that people have, from the file to the evaluation of a chip, as a job does it."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from simulator.config import FinetuneSpec, InferenceRPUConfig
from simulator.config.compatibility import check_compatibility
from simulator.config.tasks import Task
from simulator.data.inspection import inspect
from simulator.data.loading import load_dataset
from simulator.evaluate import Samples, accuracy, evaluate_cells, score
from simulator.nn import convert_to_analog, convert_to_digital
from simulator.onnx import export_model, import_model, inspect_model, verify_imported
from simulator.tasks import targets_for
from simulator.train import finetune
from tests.cases import FOLDER, case

CONFIG = InferenceRPUConfig.model_validate(
    {"modifier": {"type": "AddNormal", "std_dev": 0.05}, "forward": {"out_noise": 0.05}}
)
TRAINING = {"epochs": 2, "batch_size": 16, "optimizer": {"type": "adam", "lr": 0.01}}


class Outcome:
    """What a job on a model and a dataset gives."""

    def __init__(self, model: bytes, data: Path, task: str | None = None, epochs: int = 2):
        fit = check_compatibility(inspect_model(model), inspect(data, "npz"), task)
        assert fit.faults == ()
        self.warnings = {warning.code: warning.message for warning in fit.warnings}
        self.task = Task(fit.task)
        loaded = load_dataset("mine", data)
        train, test = (
            Samples(part.inputs, targets_for(self.task, part.targets, one_hot=loaded.kind == "one_hot"))
            for part in (loaded.train, loaded.test)
        )
        imported = import_model(model)
        self.verification = verify_imported(imported, samples=tuple(x[:4] for x in train.inputs))
        digital = imported.for_task(self.task)
        self.digital = score(digital, test, task=self.task, batch_size=64)
        analog = convert_to_analog(copy.deepcopy(digital), CONFIG, seed=0)
        spec = {**TRAINING, "epochs": epochs}
        if self.task is Task.REGRESSION:
            spec["loss"] = "mse"
        finetune(analog, train, FinetuneSpec.model_validate(spec), task=self.task, seed=0)
        self.cells = []
        evaluate_cells(
            analog,
            test,
            task=self.task,
            repeats=[0],
            times_s=[1.0],
            batch_size=64,
            on_cell=lambda _repeat, _t, found: self.cells.append(found),
        )
        trained = convert_to_digital(analog)
        self.trained = score(trained, test, task=self.task, batch_size=64)
        again = import_model(export_model(imported, trained)).for_task(self.task)
        exported = score(again, test, task=self.task, batch_size=64)
        assert exported.loss_sum == pytest.approx(self.trained.loss_sum, rel=1e-4)


def own_accuracy(model: str, data: str, decide) -> float:
    """Return the accuracy by the file's own outputs."""
    arrays = np.load(FOLDER / data)
    with torch.no_grad():
        outputs = import_model(case(model)).module(torch.from_numpy(arrays["x_test"])).numpy()
    return float((decide(outputs) == arrays["y_test"].reshape(decide(outputs).shape)).mean())


CASES = [
    ("binary-logit.onnx", "binary.npz", Task.CLASSIFICATION, lambda y: y[:, 0] > 0),
    ("binary-logit.onnx", "binary-column.npz", Task.CLASSIFICATION, lambda y: y[:, 0] > 0),
    ("binary-sigmoid.onnx", "binary.npz", Task.CLASSIFICATION, lambda y: y[:, 0] > 0.5),
    ("binary-sigmoid.onnx", "binary-column.npz", Task.CLASSIFICATION, lambda y: y[:, 0] > 0.5),
    ("multi-label-sigmoid.onnx", "multi-label.npz", Task.MULTI_LABEL, lambda y: y > 0.5),
    ("cls_logits.onnx", "classes.npz", Task.CLASSIFICATION, lambda y: y.argmax(1)),
]


@pytest.mark.parametrize(("model", "data", "task", "decide"), CASES)
def test_accuracy_is_that_of_the_files_own_outputs(model, data, task, decide):
    found = Outcome(case(model), FOLDER / data)
    assert found.task is task
    assert found.verification.state == "passed"
    assert accuracy(found.digital) == pytest.approx(own_accuracy(model, data, decide), abs=1e-9)
    assert accuracy(found.cells[0]) > 0.6
    assert ("output_activation" in found.warnings) == ("sigmoid" in model)


@pytest.mark.parametrize("data", ["binary.npz", "binary-column.npz"])
def test_a_binary_network_may_be_trained_on_values_if_the_job_says_so(data):
    found = Outcome(case("binary-sigmoid.onnx"), FOLDER / data, "regression")
    assert found.digital.correct is None
    assert found.digital.loss_sum / found.digital.total < 0.3


def rewritten(folder, name, change, dtype):
    arrays = dict(np.load(FOLDER / name))
    for key in ("y_train", "y_test"):
        arrays[key] = change(arrays[key]).astype(dtype)
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32, bool])
def test_one_hot_labels_give_the_accuracy_of_their_classes(dtype, tmp_path):
    data = rewritten(tmp_path, "classes.npz", lambda y: np.eye(4)[y], dtype)
    found = Outcome(case("cls_logits.onnx"), data)
    assert found.task is Task.CLASSIFICATION
    assert "one_hot_labels" in found.warnings
    plain = Outcome(case("cls_logits.onnx"), FOLDER / "classes.npz")
    assert found.digital == plain.digital
    assert found.cells == plain.cells


def test_one_hot_labels_are_labels_if_the_job_says_so(tmp_path):
    data = rewritten(tmp_path, "classes.npz", lambda y: np.eye(4)[y], np.float32)
    found = Outcome(case("cls_logits.onnx"), data, "multi_label")
    assert found.digital.total == 4 * 200


@pytest.mark.parametrize("column", [False, True])
def test_classes_stored_as_floats_are_classes(column, tmp_path):
    data = rewritten(tmp_path, "classes.npz", lambda y: y.reshape(-1, 1) if column else y, np.float32)
    found = Outcome(case("cls_logits.onnx"), data)
    assert found.task is Task.CLASSIFICATION
    assert "task_inferred" in found.warnings
    assert found.digital == Outcome(case("cls_logits.onnx"), FOLDER / "classes.npz").digital


def test_labels_stored_as_floats_are_labels(tmp_path):
    data = rewritten(tmp_path, "multi-label.npz", lambda y: y, np.float32)
    found = Outcome(case("multi-label-sigmoid.onnx"), data)
    assert found.task is Task.MULTI_LABEL


def with_softmax() -> bytes:
    import onnx

    model = onnx.ModelProto.FromString(case("cls_logits.onnx"))
    model.graph.node[-1].output[0] = "logits"
    model.graph.node.append(onnx.helper.make_node("Softmax", ["logits"], ["y"], axis=1))
    return model.SerializeToString()


def test_a_network_with_a_softmax_trains_as_well_as_without():
    plain = Outcome(case("cls_logits.onnx"), FOLDER / "classes.npz", epochs=3)
    behind = Outcome(with_softmax(), FOLDER / "classes.npz", epochs=3)
    assert behind.digital.loss_sum == pytest.approx(plain.digital.loss_sum, rel=1e-5)
    assert behind.trained.loss_sum == pytest.approx(plain.trained.loss_sum, rel=1e-3)
    assert behind.cells[0].correct == plain.cells[0].correct


def test_a_regression_behind_a_sigmoid_is_scored_on_its_own_outputs(tmp_path):
    data = rewritten(tmp_path, "multi-label.npz", lambda y: y * 0.8 + 0.1, np.float32)
    found = Outcome(case("multi-label-sigmoid.onnx"), data)
    assert found.task is Task.REGRESSION
    with torch.no_grad():
        arrays = np.load(data)
        outputs = import_model(case("multi-label-sigmoid.onnx")).module(torch.from_numpy(arrays["x_test"]))
    expected = float(((outputs.numpy() - arrays["y_test"]) ** 2).mean(1).sum())
    assert found.digital.loss_sum == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "model", ["gru-partial-shape.onnx", "time-first-open.onnx", "time-first-batch-open.onnx"]
)
def test_recurrent_networks_read_sequences_as_datasets_have_them(model):
    found = Outcome(case(model), FOLDER / "sequences.npz")
    assert found.task is Task.CLASSIFICATION
    assert (found.verification.state, found.verification.inputs) == ("passed", "samples")
    assert found.digital.total == 30
    assert 0 < found.cells[0].loss_sum < 30 * 5


def own_data(folder, **arrays):
    """Write a dataset whose test set is its training set."""
    path = folder / "own.npz"
    np.savez(
        path, **{f"{name}_{part}": array for name, array in arrays.items() for part in ("train", "test")}
    )
    return path


DENSE = [
    "dequantize-opset13.onnx",
    "dim-minus-one.onnx",
    "if-constant.onnx",
    "weight-shape-from-dim.onnx",
    "sigmoid-saturated.onnx",
]


@pytest.mark.parametrize("model", DENSE)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_files_of_other_converters_go_through_a_job(model, task, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 8)).astype(np.float32)
    y = (
        rng.integers(0, 4, 60)
        if task == "classification"
        else rng.standard_normal((60, 4)).astype(np.float32)
    )
    found = Outcome(case(model), own_data(tmp_path, x=x, y=y), task)
    assert found.verification.state == "passed"
    assert found.trained.loss_sum < found.digital.loss_sum


def test_a_file_that_reads_bytes_goes_through_a_job(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 64), dtype=np.int32), rng.integers(0, 5, 60)
    found = Outcome(case("bytes-variance.onnx"), own_data(tmp_path, x=x, y=y))
    assert found.verification.state == "passed"


def test_a_network_with_a_baked_in_batch_goes_through_a_job(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 3, 32, 32)).astype(np.float32)
    y = rng.integers(0, 4, (20, 32, 32))
    found = Outcome(
        case("fixed-batch-resize.onnx"), own_data(tmp_path, x=x, y=y), "token_classification", epochs=1
    )
    assert found.verification.state == "passed"
    assert found.digital.total == 20 * 32 * 32
