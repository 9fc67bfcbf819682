from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from simulator.config import preset
from simulator.config.tasks import Task
from simulator.maintenance import refresh_batch_norm
from simulator.nn import convert_to_analog, program_analog_weights
from simulator.onnx import import_model, inspect_model, verify_import
from simulator.onnx.verify import compare_with
from tests.unit.simulator.onnx.conftest import export, run_reference
from tests.unit.simulator.onnx.networks import (
    EXAMPLES,
    ConvNet,
    LanguageModel,
    Mlp,
    Recurrent,
    UNet,
    VisionTransformer,
    trained_looking,
)

SAMPLES = Path(__file__).parent / "samples"
CASES = [
    *[(Mlp, exporter) for exporter in ("legacy", "legacy_fixed_batch", "dynamo_fixed_batch")],
    *[(ConvNet, exporter) for exporter in ("legacy", "legacy_preserve", "dynamo", "dynamo_unoptimised")],
    *[(Recurrent, exporter) for exporter in ("legacy", "legacy_fixed_batch", "dynamo")],
    *[(VisionTransformer, exporter) for exporter in ("legacy", "legacy_fixed_batch", "dynamo_opset_23")],
    *[(LanguageModel, exporter) for exporter in ("legacy", "dynamo_fixed_batch")],
    *[(UNet, exporter) for exporter in ("legacy_preserve", "dynamo")],
]


def inputs_like(network, batch, seed=1):
    stream = torch.Generator().manual_seed(seed)
    example = EXAMPLES[network]
    shape = (batch, *example.shape[1:])
    if example.is_floating_point():
        return torch.randn(shape, generator=stream)
    return torch.randint(0, 50, shape, generator=stream)


def relative_difference(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("network", "exporter"), CASES)
def test_an_exported_network_computes_what_the_original_does(network, exporter):
    x = inputs_like(network, 5)
    original = trained_looking(network)
    module = import_model(export(network, exporter)).module
    with torch.no_grad():
        assert relative_difference(module(x), original(x)) < 1e-5


@pytest.mark.parametrize(("network", "exporter"), CASES)
def test_an_exported_network_agrees_with_the_reference_runtime(network, exporter):
    found = verify_import(export(network, exporter), seed=3)
    assert found.max_rel_diff < 1e-5
    assert found.state == "passed"


@pytest.mark.parametrize(("network", "exporter"), CASES)
def test_layers_keep_the_users_names(network, exporter):
    theirs = {
        name for name, module in trained_looking(network).named_modules() if isinstance(module, nn.Linear)
    }
    theirs = {name for name in theirs if "self_attn" not in name}
    ours = dict(import_model(export(network, exporter)).module.named_modules())
    assert theirs <= ours.keys()
    assert all(isinstance(ours[name], nn.Linear) for name in theirs)


@pytest.mark.parametrize(("network", "exporter"), CASES)
def test_the_report_names_the_modules_of_the_import(network, exporter):
    data = export(network, exporter)
    module = import_model(data).module
    parameters = dict(module.named_parameters())
    for layer in inspect_model(data)["layers"]:
        if layer["op"] == "Parameter":
            assert list(parameters[layer["name"]].shape) == layer["weight_shape"]
        else:
            found = module.get_submodule(layer["name"])
            assert type(found).__name__ == layer["op"]
            if layer["op"] in ("Linear", "Conv2d"):
                assert list(found.weight.shape) == layer["weight_shape"]
                assert layer["kind"] == "analog"
            else:
                assert layer["kind"] == "analog" or layer["reason"]


@pytest.mark.parametrize(("network", "exporter"), CASES)
def test_all_of_an_imported_network_can_be_trained(network, exporter):
    module = import_model(export(network, exporter)).module.train()
    module(inputs_like(network, 4)).square().mean().backward()
    weights = [value for name, value in module.named_parameters() if value.dim() > 1]
    trained = sum(value.numel() for value in weights if value.grad is not None)
    theirs = sum(value.numel() for value in trained_looking(network).parameters() if value.dim() > 1)
    assert trained >= 0.95 * theirs


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.onnx")), ids=lambda path: path.stem)
def test_a_sample_file_gives_its_recorded_outputs(path):
    with np.load(path.with_suffix(".npz")) as recorded:
        assert compare_with(path.read_bytes(), dict(recorded)).max_rel_diff < 1e-5


def test_batch_normalisation_stays_trainable_where_the_file_has_it():
    for exporter in ("legacy_preserve", "dynamo_unoptimised"):
        module = import_model(export(ConvNet, exporter)).module.train()
        norms = {
            name
            for name, child in module.named_modules()
            if isinstance(child, nn.modules.batchnorm._BatchNorm)
        }
        assert norms == {"bn", "norm", *[f"blocks.{i}.bn{j}" for i in (0, 1) for j in (1, 2)]}
        before = module.get_submodule("bn").running_mean.clone()
        module(inputs_like(ConvNet, 8))
        assert not torch.equal(module.get_submodule("bn").running_mean, before)


def test_batch_normalisation_of_a_file_is_refreshed_through_a_programmed_chip():
    for exporter in ("legacy_preserve", "dynamo_unoptimised"):
        network = import_model(export(ConvNet, exporter)).for_task(Task.CLASSIFICATION)
        model = convert_to_analog(network, preset("PCMExamplePreset"), channels_last=True).eval()
        norms = [one for one in model.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
        before = [one.running_var.clone() for one in norms]
        program_analog_weights(model, repeat=0)
        refresh_batch_norm(model, (inputs_like(ConvNet, 8),), batch_size=4)
        assert len(norms) == 6
        assert not any(torch.equal(one.running_var, old) for one, old in zip(norms, before, strict=True))


def test_folded_batch_normalisation_is_told_with_the_call_that_keeps_it():
    folded = import_model(export(ConvNet, "legacy"))
    assert "do_constant_folding=False" in folded.notes["batch_norm_folded"]
    kept = import_model(export(ConvNet, "legacy_preserve"))
    assert "batch_norm_folded" not in kept.notes


def test_a_layer_that_is_called_twice_is_one_module():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x):
            return self.fc(torch.relu(self.fc(x)))

    EXAMPLES[Twice] = torch.zeros(2, 8)
    module = import_model(export(Twice, "legacy")).module
    assert [name for name, child in module.named_modules() if isinstance(child, nn.Linear)] == ["fc"]


def test_inputs_and_outputs_are_told_with_names_types_and_shapes():
    imported = import_model(export(Recurrent, "legacy"))
    (taken,), (given,) = imported.inputs, imported.outputs
    assert (taken.name, taken.dtype, taken.shape) == ("x", "float32", ("batch", 7, 8))
    assert (given.name, given.dtype, given.shape) == ("y", "float32", ("batch", 4))


def test_importing_draws_nothing_from_the_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    import_model(export(Recurrent, "legacy"))
    assert torch.equal(torch.rand(1), expected)


def test_an_import_is_in_evaluation_mode():
    module = import_model(export(ConvNet, "legacy_preserve")).module
    assert not any(child.training for child in module.modules())


def test_a_transformer_keeps_its_parts_as_modules():
    module = import_model(export(VisionTransformer, "legacy")).module
    kinds = {name: type(child) for name, child in module.named_modules()}
    assert kinds["encoder.layers.0.norm1"] is nn.LayerNorm  # opset 14 has it in nine nodes
    assert kinds["encoder.layers.0.linear1"] is nn.Linear
    assert {"cls", "pos"} <= dict(module.named_parameters()).keys()


def test_a_network_agrees_with_the_runtime_at_the_batch_size_of_its_file():
    data = export(VisionTransformer, "legacy_fixed_batch")
    x = inputs_like(VisionTransformer, 2)
    (expected,) = run_reference(data, {"x": x.numpy()})
    with torch.no_grad():
        assert relative_difference(import_model(data).module(x), torch.from_numpy(expected)) < 1e-5
