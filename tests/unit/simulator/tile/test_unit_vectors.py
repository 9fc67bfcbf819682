"""Reading a tile out by unit vectors gives, to the last bit, what the whole vectors give."""

from __future__ import annotations

import pytest
import torch

from simulator.config import IOParameters
from simulator.rng import Purpose, generator
from simulator.tile import DENSE, UnitVectorProduct, analog_product, compile_plan, draw_instance, path

CONFIGS = {
    "default": {},
    "perfect": {"is_perfect": True},
    "plain": {"noise_management": "None", "bound_management": "None"},
    "constant": {"noise_management": "Constant", "nm_thres": 0.7, "bound_management": "None"},
    "clips the vectors": {"inp_bound": 0.5, "noise_management": "None"},
    "sums": {"noise_management": "AbsMaxNPSum"},
    "maximum": {"noise_management": "Max", "nm_thres": 0.8},
    "hits the bound": {"out_bound": 0.4},
    "worst case": {"out_bound": 0.4, "bound_management": "IterativeWorstCase"},
    "read noise": {"w_noise": 0.05, "w_noise_type": "AdditiveConstant"},
    "read noise of devices": {"w_noise": 0.05, "w_noise_type": "PCMRead", "out_noise": 0.0},
    "two passes": {"mv_type": "PosNegSeparateDigitalSum", "w_read_asymmetry_dtod": 0.1},
    "wires": {"ir_drop": 1.0, "ir_drop_g_ratio": 200.0},
    "offsets": {"v_offset_std": 0.1, "r_series": 0.1},
    "saturation": {"out_nonlinearity": 0.5, "out_nonlinearity_std": 0.2, "slope_calibration": 0.5},
    "asymmetry": {"inp_asymmetry": 0.1, "out_asymmetry": 0.1, "out_sto_round": True},
}


@pytest.mark.parametrize("forward", CONFIGS.values(), ids=CONFIGS)
def test_unit_vectors_are_read_as_whole_vectors(forward):
    plan = compile_plan(IOParameters.model_validate(forward))
    assert path.UNIT_VECTORS.can(plan)
    weights = torch.randn(7, 90, generator=generator(0, Purpose.VERIFICATION)) * 0.3
    instance = draw_instance(plan, 7, 90, generator(1, Purpose.INSTANCE))
    outputs = [
        analog_product(
            x, weights, plan, product=product, instance=instance, generator=generator(2, Purpose.COMPENSATION)
        )
        for x, product in ((torch.eye(90), DENSE), (torch.ones(1, 1), UnitVectorProduct(90)))
    ]
    assert torch.equal(*outputs)


@pytest.mark.parametrize("forward", [{"inp_noise": 0.1}, {"inp_sto_round": True}])
def test_noisy_inputs_are_not_zeros(forward):
    assert not path.UNIT_VECTORS.can(compile_plan(IOParameters.model_validate(forward)))
