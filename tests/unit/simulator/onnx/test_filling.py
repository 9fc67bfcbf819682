"""Sizes that a file leaves open, as samples fill them: the counts are those of a file that says them."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from simulator.onnx import inspect_model
from tests.unit.simulator.onnx.conftest import quiet_export
from tests.unit.simulator.onnx.graphs import floats, image_network, model_of, node


def counts(
    data: bytes, samples: list[list[int]] | None = None
) -> tuple[dict[str, int], list[dict[str, Any]]]:
    report = inspect_model(data, samples=samples)
    return {layer["name"]: layer["positions"] for layer in report["layers"]}, report["operations"]


@pytest.mark.parametrize(("height", "width"), [("h", "w"), (None, None), ("side", "side")])
def test_a_network_of_images_of_any_size_counts_as_one_of_the_samples_size(height: Any, width: Any) -> None:
    positions, operations = counts(image_network(height, width))
    assert positions["first"] is None
    assert any(one["open"] for one in operations)
    filled = counts(image_network(height, width), [[3, 29, 29]])
    assert filled == counts(image_network(29, 29))
    assert filled[0] == {"first": 15 * 15, "second": 5 * 5, "head": 1}
    assert not any(one["open"] for one in filled[1])


def test_a_network_of_sequences_of_any_length_counts_as_one_of_the_samples_length() -> None:
    def network(length: str | int) -> bytes:
        nodes = [
            node("MatMul", ["x", "q.weight"], ["q"]),
            node("Transpose", ["x"], ["k"], perm=[0, 2, 1]),
            node("MatMul", ["q", "k"], ["s"]),
            node("Softmax", ["s"], ["y"], axis=-1),
        ]
        return model_of(
            nodes,
            {"q.weight": floats(8, 8)},
            inputs={"x": (1, ["batch", length, 8])},
            outputs={"y": (1, ["batch", length, length])},
        ).SerializeToString()

    positions, operations = counts(network("seq"), [[7, 8]])
    assert (positions, operations) == counts(network(7))
    assert positions == {"q": 7}
    assert {one["name"]: one["macs"] for one in operations}["MatMul"] == 7 * 7 * 8


class Encoder(nn.Module):
    """An attention that reads batch and length from its input, as encoders of text are traced."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Embedding(16, 8)
        self.query, self.key, self.value, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        x = x + self.place(torch.arange(length, device=x.device))
        query, key, value = (
            one(x).view(batch, length, 2, 4).transpose(1, 2) for one in (self.query, self.key, self.value)
        )
        seen = (query @ key.transpose(-1, -2)).softmax(-1) @ value
        return self.head(self.out(seen.transpose(1, 2).reshape(batch, length, 8))[:, 0])


def test_a_traced_encoder_of_any_length_counts_as_one_of_the_samples_length() -> None:
    def exported(*open_axes: str) -> bytes:
        target, axes = io.BytesIO(), {"x": dict(enumerate(open_axes))}
        network = Encoder().eval()
        quiet_export(network, torch.randn(2, 7, 8), target, dynamo=False, opset_version=17, dynamic_axes=axes)
        return target.getvalue()

    assert counts(exported("batch", "length"))[0]["query"] is None
    filled = counts(exported("batch", "length"), [[7, 8]])
    assert filled == counts(exported("batch"))
    assert filled[0] == {**dict.fromkeys(("query", "key", "value", "out"), 7), "head": 1}
    assert not any(one["open"] for one in filled[1])


def test_a_network_with_the_time_first_is_filled_along_its_time() -> None:
    def network(time: str | int | None) -> bytes:
        nodes = [node("LSTM", ["x", "w", "r"], ["h"], hidden_size=2), node("Squeeze", ["h", "one"], ["y"])]
        return model_of(
            nodes,
            {"w": floats(1, 8, 3), "r": floats(1, 8, 2), "one": [1]},
            inputs={"x": (1, [time, "batch", 3])},
            outputs={"y": (1, [time, "batch", 2])},
        ).SerializeToString()

    for time in ("time", None):
        assert next(iter(counts(network(time), [[6, 3]])[0].values())) == 6


def test_a_file_that_says_its_sizes_keeps_them_and_samples_of_another_rank_say_nothing() -> None:
    assert counts(image_network(29, 29), [[3, 64, 64]]) == counts(image_network(29, 29))
    assert counts(image_network("h", "w"), [[64]]) == counts(image_network("h", "w"))


def test_two_inputs_that_say_a_size_differently_leave_it_open() -> None:
    data = model_of(
        [node("MatMul", ["x", "fc.weight"], ["a"]), node("Add", ["a", "z"], ["y"])],
        {"fc.weight": floats(4, 3)},
        inputs={"x": (1, ["batch", "seq", 4]), "z": (1, ["batch", "seq", 3])},
        outputs={"y": (1, ["batch", "seq", 3])},
    ).SerializeToString()
    assert counts(data, [[5, 4], [5, 3]])[0] == {"fc": 5}
    assert counts(data, [[5, 4], [6, 3]])[0] == {"fc": None}
