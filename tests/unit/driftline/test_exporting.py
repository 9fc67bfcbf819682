from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from driftline import InvalidInput
from driftline.exporting import to_onnx
from simulator.onnx import import_model


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(3 * 6 * 6, 4)

    def forward(self, x):
        return self.fc(self.drop(torch.relu(self.norm(self.conv(x)))).flatten(1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 8, batch_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(2, 3)

    def forward(self, x, z):
        return self.a(x) + self.b(z)


def outputs_of(content: bytes, *inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))[0]


@pytest.mark.parametrize(
    ("make", "shapes"),
    [(Convolutional, [(1, 8, 8)]), (Recurrent, [(7, 5)]), (TwoInputs, [(4,), (2,)])],
    ids=["convolutional", "recurrent", "two inputs"],
)
def test_a_module_is_exported_for_any_batch_and_computes_the_same(make, shapes):
    torch.manual_seed(0)
    module = make().train()
    example = tuple(torch.randn(1, *shape) for shape in shapes)  # a batch of one is not taken for fixed
    content = to_onnx(module, example if len(example) > 1 else example[0])
    assert module.training
    inputs = [torch.randn(5, *shape) for shape in shapes]
    with torch.no_grad():
        expected = module.eval()(*inputs).numpy()
    found = outputs_of(content, *(one.numpy() for one in inputs))
    assert np.allclose(found, expected, atol=1e-5)


def test_batch_normalisation_stays_and_layers_have_the_modules_names():
    content = to_onnx(Convolutional(), np.zeros((2, 1, 8, 8)))
    module = import_model(content).module
    kinds = {type(part).__name__ for part in module.modules()}
    assert "BatchNorm2d" in kinds
    assert {"conv", "norm", "fc"} <= {name for name, _ in module.named_modules()}


def test_each_part_is_left_in_the_mode_that_it_was_in():
    module = Convolutional().train()
    module.norm.eval()
    to_onnx(module, torch.zeros(2, 1, 8, 8))
    assert (module.training, module.norm.training, module.drop.training) == (True, False, True)


def test_an_example_is_needed():
    with pytest.raises(InvalidInput, match="Convolutional needs an example input"):
        to_onnx(Convolutional(), None)


def test_an_example_that_does_not_fit_is_told_with_its_shape():
    with pytest.raises(InvalidInput, match=r"does not take the example input \(float32 \(2, 9\)\)"):
        to_onnx(Recurrent(), torch.zeros(2, 9))


class Unexportable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        return torch.linalg.lstsq(x, self.fc(x)).solution


def test_what_torch_cannot_export_is_told_in_a_line_and_the_mode_is_kept():
    module = Unexportable().train()
    with pytest.raises(InvalidInput, match="torch cannot export Unexportable") as told:
        to_onnx(module, torch.randn(4, 3))
    assert "\n" not in str(told.value)
    assert module.training
