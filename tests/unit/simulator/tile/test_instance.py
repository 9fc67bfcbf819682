from __future__ import annotations

import torch

from simulator.config import IOParameters
from simulator.rng import Purpose, generator
from simulator.tile import InstanceParameters, compile_plan, draw_instance

SPREAD = {
    "v_offset_std": 0.1,
    "out_nonlinearity": 0.5,
    "out_nonlinearity_std": 0.3,
    "out_noise": 0.1,
    "out_noise_std": 0.3,
    "mv_type": "PosNegSeparate",
    "w_read_asymmetry_dtod": 0.1,
}


def drawn(**forward):
    plan = compile_plan(IOParameters(**forward))
    return draw_instance(plan, 1000, 2, generator(1, Purpose.INSTANCE, "test"))


def test_without_spread_there_are_no_parameters():
    assert drawn() == InstanceParameters()


def test_every_parameter_is_drawn_per_output_or_device():
    instance = drawn(**SPREAD)
    assert instance.voltage_offset.shape == instance.nonlinearity.shape == instance.out_noise.shape == (1000,)
    assert instance.read_asymmetry.shape == (1000, 2)


def test_offsets_nonlinearities_and_noise_levels_are_not_negative():
    instance = drawn(**(SPREAD | {"out_nonlinearity_std": 3.0, "out_noise_std": 3.0}))
    for values in (instance.voltage_offset, instance.nonlinearity, instance.out_noise):
        assert (values >= 0).all()


def test_half_of_the_offsets_are_zero():
    share = (drawn(**SPREAD).voltage_offset == 0).float().mean()
    torch.testing.assert_close(share, torch.tensor(0.5), rtol=0, atol=0.06)


def test_read_asymmetry_needs_separate_passes():
    assert drawn(**(SPREAD | {"mv_type": "OnePass"})).read_asymmetry is None
