from __future__ import annotations

import pytest
import torch

from simulator.nn import AnalogConv2d, AnalogLinear, noise_context, program_analog_weights
from tests.unit.simulator.nn.configs import STATIC, noiseless, normal, perfect

ADD_NORMAL = {"type": "AddNormal", "std_dev": 0.1}


def only_tile(layer):
    ((_, tile),) = layer.tile_slots()
    return tile


class TestModifier:
    def layer(self, **modifier):
        return AnalogLinear(6, 4, bias=False, rpu_config=perfect(modifier={**ADD_NORMAL, **modifier}))

    def test_is_drawn_anew_in_every_training_forward(self):
        layer, x = self.layer().train(), normal(2, 6)
        assert not torch.equal(layer(x), layer(x))

    def test_draw_is_that_of_the_batch(self):
        layer, x = self.layer().train(), normal(2, 6)
        results = []
        for batch in (0, 1, 0):
            noise_context(layer).move(epoch=1, batch=batch)
            results.append(layer(x))
        assert torch.equal(results[0], results[2])
        assert not torch.equal(results[0], results[1])

    def test_leaves_evaluation_alone_unless_it_is_told_otherwise(self):
        x = normal(2, 6)
        quiet, noisy = self.layer().eval(), self.layer(enable_during_test=True).eval()
        torch.testing.assert_close(quiet(x), x @ quiet.weight.T)
        assert not torch.equal(noisy(x), noisy(x))

    def test_never_touches_the_parameter(self):
        layer = self.layer().train()
        before = layer.weight.detach().clone()
        layer(normal(2, 6)).sum().backward()
        assert torch.equal(layer.weight, before)

    def test_draws_per_sample_of_a_convolution(self):
        config = perfect(modifier={**ADD_NORMAL, "per_batch_sample": True})
        layer = AnalogConv2d(2, 3, 3, bias=False, rpu_config=config).train()
        x = normal(1, 2, 5, 5).repeat(2, 1, 1, 1)
        y = layer(x)
        assert y.shape == (2, 3, 3, 3)
        assert not torch.equal(y[0], y[1])


class TestAverageAbsMax:
    def config(self, **forward):
        return noiseless(
            forward={
                **STATIC,
                "noise_management": "AverageAbsMax",
                "nm_decay": 0.5,
                "inp_res": -1.0,
                "out_res": -1.0,
                **forward,
            }
        )

    def test_learns_the_running_mean_in_training_alone(self):
        layer = AnalogLinear(3, 2, rpu_config=self.config()).train()
        layer(torch.tensor([[1.0, -2.0, 0.0], [4.0, 0.0, 0.0]]))
        layer(torch.full((2, 3), 5.0))
        layer.eval()(torch.full((2, 3), 100.0))
        assert only_tile(layer).average_abs_max.item() == pytest.approx(4.0)

    def test_clips_what_is_larger(self):
        layer = AnalogLinear(1, 1, bias=False, rpu_config=self.config()).train()
        layer.set_weights(torch.ones(1, 1))
        layer(torch.full((1, 1), 2.0))
        assert layer.eval()(torch.tensor([[1.0], [3.0]])).flatten().tolist() == pytest.approx([1.0, 2.0])

    def test_uses_the_maximum_of_each_vector_before_anything_is_learned(self):
        layer = AnalogLinear(1, 1, bias=False, rpu_config=self.config()).eval()
        layer.set_weights(torch.ones(1, 1))
        assert layer(torch.tensor([[1.0], [3.0]])).flatten().tolist() == pytest.approx([1.0, 3.0])

    def test_of_a_convolution_is_the_mean_over_patches(self):
        layer = AnalogConv2d(1, 1, 2, rpu_config=self.config()).train()
        layer(torch.tensor([[[[1.0, 0.0, 3.0], [0.0, -2.0, 0.0]]]]))
        assert only_tile(layer).average_abs_max.item() == pytest.approx(2.5)

    def test_is_part_of_the_state_dict(self):
        layer = AnalogLinear(3, 2, rpu_config=self.config()).train()
        layer(torch.ones(1, 3))
        assert layer.state_dict()["tiles.0.average_abs_max"].item() == 1.0


class TestInputRange:
    def config(self, **options):
        return noiseless(forward=STATIC, pre_post={"input_range": {"enable": True, **options}})

    def test_follows_the_first_training_batches(self):
        layer = AnalogLinear(50, 2, rpu_config=self.config(init_from_data=2, init_std_alpha=2.0)).train()
        for batch in range(4):
            layer((batch + 1) * normal(200, 50, seed=batch))
        tile = only_tile(layer)
        assert tile.batches_seen.item() == 2
        assert tile.input_range.item() == pytest.approx(2 * 1.5, rel=0.02)

    def test_stays_in_evaluation(self):
        layer = AnalogLinear(3, 2, rpu_config=self.config()).eval()
        layer(normal(5, 3))
        assert only_tile(layer).input_range.item() == 3.0

    def test_is_a_parameter_only_where_it_is_learned(self):
        learned = AnalogLinear(3, 2, rpu_config=self.config())
        fixed = AnalogLinear(3, 2, rpu_config=self.config(learn_input_range=False))
        assert "tiles.0.input_range" in dict(learned.named_parameters())
        assert "tiles.0.input_range" in dict(fixed.named_buffers())

    def test_is_bypassed_by_the_readout_of_the_compensation(self):
        layers = []
        for init_value in (0.01, 3.0):
            layer = AnalogLinear(6, 4, rpu_config=self.config(init_value=init_value)).eval()
            layer.set_weights(normal(4, 6))
            program_analog_weights(layer)
            layers.append(only_tile(layer).chip.baseline)
        assert torch.equal(*layers)

    def test_clipped_outputs_widen_it_when_that_is_managed(self):
        results = {}
        for managed in (False, True):
            config = self.config(init_from_data=0, decay=0.0, manage_output_clipping=managed)
            config.forward.out_bound = 0.5
            layer = AnalogLinear(6, 4, bias=False, rpu_config=config).train()
            layer.set_weights(torch.ones(4, 6))
            layer(torch.ones(3, 6)).sum().backward()
            results[managed] = only_tile(layer).input_range.grad.item()
        assert results == {False: 0.0, True: pytest.approx(-3.0)}


def test_instance_parameters_belong_to_the_repeat():
    layer = AnalogLinear(6, 4, rpu_config=noiseless(forward={**STATIC, "v_offset_std": 0.1})).eval()
    x, results = normal(2, 6), []
    for repeat in (0, 1, 0):
        noise_context(layer).move(repeat=repeat)
        results.append(layer(x))
    assert torch.equal(results[0], results[2])
    assert not torch.equal(results[0], results[1])


def test_forward_noise_is_that_of_the_batch():
    layer = AnalogLinear(6, 4).eval()
    x, context, results = normal(2, 6), noise_context(layer), []
    for batch in (0, 1, 0):
        context.at_batch(batch)
        results.append(layer(x))
    assert torch.equal(results[0], results[2])
    assert not torch.equal(results[0], results[1])
