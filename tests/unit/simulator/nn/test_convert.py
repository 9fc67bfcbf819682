from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import fx, nn
from torch.nn.utils import parametrizations

from simulator.config import InferenceRPUConfig
from simulator.nn import (
    AnalogConv2d,
    AnalogLinear,
    AnalogSequential,
    analog_layers,
    conversion_report,
    convert_to_analog,
    convert_to_digital,
    noise_context,
    program_analog_weights,
)
from tests.unit.simulator.nn.configs import normal, perfect


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10)
    )


X = normal(3, 1, 4, 4)


def names(model):
    return [name for name, _ in analog_layers(model)]


def test_layers_are_replaced_under_their_names_and_parameters_keep_theirs():
    plain = network()
    analog = convert_to_analog(plain, perfect())
    assert isinstance(analog[0], AnalogConv2d)
    assert isinstance(analog[4], AnalogLinear)
    assert dict(analog.named_parameters()).keys() == dict(plain.named_parameters()).keys()


def test_given_model_is_not_changed():
    plain = network()
    before = copy.deepcopy(plain.state_dict())
    analog = convert_to_analog(plain, perfect())
    nn.init.zeros_(analog[4].weight)
    assert type(plain[0]) is nn.Conv2d
    assert all(torch.equal(value, before[key]) for key, value in plain.state_dict().items())


def test_given_configuration_is_not_changed():
    config = perfect()
    analog = convert_to_analog(network(), config, weight_scaling_omega=1.0)
    assert config.mapping.weight_scaling_omega == 0.0
    assert analog[0].rpu_config.mapping.weight_scaling_omega == 1.0


def test_perfect_model_computes_the_same():
    plain = network().eval()
    torch.testing.assert_close(convert_to_analog(plain, perfect())(X), plain(X))


@pytest.mark.parametrize("training", [True, False])
def test_training_mode_stays(training):
    assert convert_to_analog(network().train(training), perfect())[4].training is training


def test_traced_graph_converts():
    traced = fx.symbolic_trace(network().eval())
    analog = convert_to_analog(traced, perfect())
    assert names(analog) == ["0", "4"]
    torch.testing.assert_close(analog(X), traced(X))


def test_model_that_is_one_layer():
    analog = convert_to_analog(nn.Linear(3, 2), perfect())
    assert isinstance(analog, AnalogLinear)


def test_layer_that_is_used_twice_stays_one():
    shared = nn.Linear(4, 4)
    analog = convert_to_analog(nn.Sequential(shared, nn.ReLU(), shared), perfect())
    assert analog[0] is analog[2]
    assert isinstance(analog[0], AnalogLinear)


def test_parameter_that_is_shared_stays_shared():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    analog = convert_to_analog(nn.Sequential(first, second), perfect())
    assert analog[0].weight is analog[1].weight


class LinearOfItsOwn(nn.Linear):
    """May compute anything."""


def test_subclasses_and_computed_weights_stay_digital_with_a_reason():
    model = nn.ModuleDict(
        {
            "own": LinearOfItsOwn(4, 4),
            "normed": parametrizations.weight_norm(nn.Linear(4, 4)),
            "plain": nn.Linear(4, 4),
        }
    )
    assert names(convert_to_analog(model, perfect())) == ["plain"]


def test_layers_stay_digital_by_name_or_pattern():
    analog = convert_to_analog(network(), perfect(), digital=["0"])
    assert names(analog) == ["4"]
    assert conversion_report(analog).digital == {"0": "kept digital by name"}
    assert names(convert_to_analog(network(), perfect(), digital=["*"])) == []


def test_overrides_apply_in_order_to_the_layers_that_match():
    overrides = [
        {"match": "*", "rpu_config": {"forward": {"out_noise": 0.3}}},
        {"match": "4", "rpu_config": {"forward": {"out_noise": 0.1}}},
    ]
    analog = convert_to_analog(network(), InferenceRPUConfig(), overrides=overrides)
    assert [layer.rpu_config.forward.out_noise for _, layer in analog_layers(analog)] == [0.3, 0.1]


def test_every_pattern_that_matches_nothing_is_named():
    overrides = [{"match": "decoder.*", "rpu_config": {}}]
    with pytest.raises(ValueError, match=r"(?s)'head' matches no layer.*'decoder.*' matches no layer"):
        convert_to_analog(network(), perfect(), digital=["head"], overrides=overrides)


def test_analog_model_is_not_converted_again():
    with pytest.raises(ValueError, match="analog layers already"):
        convert_to_analog(convert_to_analog(network(), perfect()), perfect())


def test_all_layers_share_one_noise_context_and_a_copy_has_its_own():
    analog = convert_to_analog(network(), perfect(), seed=7)
    context = noise_context(analog)
    assert context.seed == 7
    assert all(layer.noise_context is context for _, layer in analog_layers(analog))
    copied = copy.deepcopy(analog)
    assert noise_context(copied) is not context
    assert all(layer.noise_context is noise_context(copied) for _, layer in analog_layers(copied))
    assert all(tile.context is noise_context(copied) for tile in copied[4].tiles)


def test_names_in_the_streams_are_those_of_the_conversion():
    wrapped = AnalogSequential(convert_to_analog(network(), perfect()))
    assert [layer.layer_name for _, layer in analog_layers(wrapped)] == ["0", "4"]
    assert names(wrapped) == ["0.0", "0.4"]


def test_conversion_back_and_forth_computes_the_same():
    plain = network().eval()
    back = convert_to_digital(convert_to_analog(plain, perfect(mapping={"weight_scaling_omega": 1.0})))
    assert [type(layer) for layer in back] == [type(layer) for layer in plain]
    torch.testing.assert_close(back(X), plain(X))


def test_conversion_back_leaves_the_analog_model():
    analog = convert_to_analog(network(), perfect())
    nn.init.zeros_(convert_to_digital(analog)[4].weight)
    assert isinstance(analog[4], AnalogLinear)
    assert analog[4].weight.abs().sum() > 0


def test_unsupported_combination_is_refused_before_anything_is_built():
    config = InferenceRPUConfig(pre_post={"input_range": {"enable": True, "manage_output_clipping": True}})
    with pytest.raises(ValueError, match="manage_output_clipping needs a fixed output bound"):
        convert_to_analog(network(), config)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused_with_their_layers(value):
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].weight.data[0, 1] = value
    model[2].bias.data[0] = value
    with pytest.raises(ValueError, match=r"0: 1 of 8 weights are NaN or infinite(?s:.*)2: 1 of 6 weights"):
        convert_to_analog(model, perfect())
    analog = convert_to_analog(model, perfect(), digital=["0", "2"])
    assert set(conversion_report(analog).digital) == {"0", "2"}


def test_weights_that_are_not_finite_are_not_programmed():
    analog = convert_to_analog(nn.Sequential(nn.Linear(3, 2)), perfect())
    analog[0].weight.data[0, 1] = math.nan
    with pytest.raises(ValueError, match="0: 1 of 8 weights are NaN or infinite"):
        program_analog_weights(analog)


def test_layers_whose_weights_are_computed_are_listed_as_digital():
    model = nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(4, 4)),
        parametrizations.weight_norm(nn.Conv1d(1, 1, 1)),
        nn.Linear(4, 4),
    )
    digital = conversion_report(convert_to_analog(model, perfect())).digital
    assert digital.keys() == {"0", "1"}
    assert all("weight is computed by a parametrisation" in reason for reason in digital.values())


def test_subclasses_are_listed_as_digital_and_parts_of_attention_are_not():
    class Own(nn.Linear):
        pass

    model = nn.ModuleDict({"own": Own(4, 4), "attention": nn.MultiheadAttention(4, 2)})
    digital = conversion_report(convert_to_analog(model, perfect())).digital
    assert digital == {"own": "only Linear itself runs on tiles, not its subclass Own"}
