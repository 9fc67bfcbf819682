from __future__ import annotations

import pytest

from simulator.config import InferenceRPUConfig, preset, unsupported
from simulator.config.presets import PRESETS


def _managing_output_clipping(**forward):
    options = {"noise_management": "None", "bound_management": "None", **forward}
    input_range = {"enable": True, "manage_output_clipping": True}
    return InferenceRPUConfig(forward=options, pre_post={"input_range": input_range})


def test_defaults_are_supported():
    assert unsupported(InferenceRPUConfig()) == []


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_supported(name):
    assert unsupported(preset(name)) == []


def test_output_clipping_is_managed_with_a_fixed_bound():
    assert unsupported(_managing_output_clipping()) == []


@pytest.mark.parametrize(
    "forward", [{"noise_management": "AbsMax"}, {"bound_management": "Iterative"}, {"out_bound": -1.0}]
)
def test_output_clipping_without_a_fixed_bound_is_refused_where_it_is_set(forward):
    (fault,) = unsupported(_managing_output_clipping(**forward))
    assert fault.pointer == "/pre_post/input_range/manage_output_clipping"
    assert fault.code == "not_yet_supported"
