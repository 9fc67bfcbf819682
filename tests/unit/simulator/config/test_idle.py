"""Fields without effect: that they have none on training, in any bit, and that they are put back one by one."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any

import pytest

from simulator.config import InferenceRPUConfig, resolve
from simulator.config.faults import leaf_fields
from simulator.config.idle import why_idle, without_idle
from simulator.config.overrides import with_overrides
from simulator.config.presets import PRESETS
from simulator.config.rpu import effective
from simulator.config.support import unsupported
from tests.unit.simulator.learning import analog, same_bits, spec_of, train

# Two passes in place of one, and a bound that no weight reaches: equal numbers by other sums.
BITS = {"forward.mv_type", "clip.type"}
CONTEXTS: dict[str, dict[str, Any]] = {
    "preset": {},
    "perfect": {"forward": {"is_perfect": True}},
    "no converters": {"forward": {"inp_bound": "inf", "out_bound": "inf"}},
    "input range, not learned": {"pre_post": {"input_range": {"enable": True, "learn_input_range": False}}},
    "input range, learned": {"pre_post": {"input_range": {"enable": True}}},
    "noisy weights": {"modifier": {"type": "AddNormal", "std_dev": 0.1}},
    "discretised": {"modifier": {"type": "Discretize", "res": 0.1}},
    "dropped": {"modifier": {"type": "None", "pdrop": 0.2}},
    "no noise, no scales": {
        "forward": {"w_noise": 0.0, "out_noise": 0.0, "noise_management": "None", "bound_management": "None"},
        "mapping": {"weight_scaling_omega": 0.0},
        "clip": {"type": "LayerGaussian"},
        "remap": {"type": "None"},
    },
}


def nested(dotted: str, value: Any) -> dict[str, Any]:
    for name in reversed(dotted.split(".")):
        value = {name: value}
    return value


def others(value: Any) -> Iterator[Any]:
    """Values that the field might have in place of one, of which not all need be valid."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, enum.Enum):
        yield from (one for one in type(value) if one is not value)
    elif isinstance(value, int | float):
        yield from (0.37, 3, 0.0, -1.0)


def idle(config: InferenceRPUConfig) -> Iterator[tuple[str, InferenceRPUConfig]]:
    """Configurations that differ from one in a field which has no effect, one for each field."""
    for dotted, value, default in leaf_fields(config):
        for other in others(value):
            if dotted in BITS or other in (value, default):
                continue
            try:
                changed = with_overrides(config, nested(dotted, other))
            except ValueError:
                continue
            if unsupported(changed):
                continue
            both_idle = why_idle(dotted, changed) is not None and why_idle(dotted, config) is not None
            if both_idle or (value == default and why_idle(dotted, changed) is not None):
                yield dotted, changed
                break


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_field_without_effect_moves_no_bit_of_training(context: str) -> None:
    config = resolve({"preset": "PCMExamplePreset", "overrides": CONTEXTS[context]})

    def trained(one: InferenceRPUConfig) -> dict[str, Any]:
        return train(analog(one), spec_of(epochs=2)).state_dict()

    plain = trained(config)
    changed = list(idle(config))
    assert len(changed) > 10
    moved = [dotted for dotted, one in changed if not same_bits(trained(one), plain)]
    assert moved == []


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_what_is_left_has_no_idle_field_and_is_left_as_it_is(name: str) -> None:
    left = without_idle(resolve({"preset": name}))
    assert effective(without_idle(left)) == effective(left)
    still = [
        dotted for dotted, value, default in leaf_fields(left) if value != default and dotted not in BITS
    ]
    assert [dotted for dotted in still if why_idle(dotted, left)] == []


def test_two_fields_that_switch_each_other_off_are_not_both_put_back_blindly() -> None:
    config = resolve({"forward": {"w_noise": 0.1, "w_noise_type": "None"}})
    assert without_idle(config).forward.w_noise == 0.0
    kept = resolve({"forward": {"w_noise": 0.1, "w_noise_type": "AdditiveConstant"}})
    assert without_idle(kept).forward.w_noise == 0.1
