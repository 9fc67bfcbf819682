"""The search for the layers to keep digital, on losses that are known."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from app.engine.kinds.analyses.layer_sensitivity import first, further, search
from app.engine.kinds.analyses.losses import Measured
from app.engine.kinds.analyses.subject import Subject
from simulator.config import InferenceRPUConfig, Variant
from simulator.config.analyses import LayerSensitivity
from simulator.config.analyses.layer_sensitivity import digital_layers, literal, setting_of
from simulator.config.job import JobSpec
from simulator.config.tasks import Metric

SIZES = {"a": 100, "b": 10, "c": 1000, "d": 10, "e": 50}
COSTS = {"a": 0.02, "b": 0.03, "c": 0.01, "d": 0.0, "e": 0.05}


def subject(*names: str) -> Subject:
    spec = JobSpec.model_validate({"evaluate": {"t_inference": [1.0, 60.0], "repeats": 2}})
    report = {
        "layers": [
            {"name": name, "kind": "analog", "weight_shape": [SIZES[name], 1]} for name in names or SIZES
        ]
    }
    return Subject.of(spec, InferenceRPUConfig(), report)


def run(sensitivity: LayerSensitivity, loss: Any, *names: str) -> tuple[Any, list[tuple[str, ...]]]:
    """Run the search to its end on a loss of the layers that are digital; return it and its further sets."""
    about = subject(*names)
    layers = list(about.layers)
    settings: dict[Any, float | None] = {}
    coordinates: dict[str, Any] = {}

    def add(new: Any) -> None:
        for setting in new:
            if setting.observes:
                continue
            coordinates[setting.key] = setting.coordinates
            for chip in range(2):
                digital = digital_layers(setting.coordinates, layers)
                settings[setting.key, ("direct", 60.0, chip)] = (
                    1 - loss(frozenset(digital)) - 0.001 * (chip - 0.5)
                )

    def measured() -> Measured:
        own = {("direct", 60.0, chip): 1 - loss(frozenset()) - 0.001 * (chip - 0.5) for chip in range(2)}
        return Measured(Metric.ACCURACY, {"direct": 1.0}, own, settings, {}, coordinates)

    add(first(sensitivity, about, Variant.DIRECT))
    asked: list[tuple[str, ...]] = []
    while new := further(sensitivity, about, Variant.DIRECT, measured()):
        [setting] = new
        assert setting.key not in coordinates, "it was evaluated before"
        asked.append(tuple(digital_layers(setting.coordinates, layers)))
        add(new)
    return search(sensitivity, about, Variant.DIRECT, measured()), asked


def along(found: Any, asked: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the sets that were evaluated along the ranking."""
    return [one for one in asked if set(one) == set(found.ranking[: len(one)])]


def additive(digital: frozenset[str]) -> float:
    return sum(cost for name, cost in COSTS.items() if name not in digital)


def test_layers_that_win_most_for_each_device_are_kept_digital_first() -> None:
    found, _ = run(LayerSensitivity(target_drop=0.035), additive)
    assert found.ranking == ("b", "e", "a", "c", "d")
    assert found.digital == ("b", "e")


@pytest.mark.parametrize("mode", ["one_analog", "one_digital", "both"])
def test_where_costs_add_up_the_guess_is_right_and_verified_at_once(mode: str) -> None:
    found, asked = run(LayerSensitivity(target_drop=0.015, mode=mode), additive)
    assert found.reaches == 3
    assert len(along(found, asked)) <= 2
    assert found.digital == found.ranking[:3]


def test_the_suggested_set_is_the_cheapest_of_all_where_costs_follow_the_sizes() -> None:
    costs = {name: 0.2 / size for name, size in SIZES.items()}

    def loss(digital: frozenset[str]) -> float:
        return sum(cost for name, cost in costs.items() if name not in digital)

    for target in (0.02, 0.01, 0.005, 0.0015):
        found, _ = run(LayerSensitivity(target_drop=target), loss)
        all_sets = [frozenset(some) for size in range(6) for some in combinations(SIZES, size)]
        enough = [some for some in all_sets if loss(some) <= target]
        cheapest = min(sum(SIZES[name] for name in some) for some in enough)
        assert sum(SIZES[name] for name in found.digital) == cheapest


def test_layers_that_only_fail_together_are_found_by_bisection() -> None:
    def loss(digital: frozenset[str]) -> float:
        return 0.9 if len(digital) < 4 else 0.001

    found, asked = run(LayerSensitivity(target_drop=0.01), loss)
    assert found.reaches == 4
    assert len(along(found, asked)) <= 3


def test_a_network_that_is_good_enough_needs_no_digital_layer() -> None:
    found, asked = run(LayerSensitivity(target_drop=0.2), additive)
    assert (found.reaches, asked) == (0, [])


def test_without_a_target_nothing_is_searched() -> None:
    found, asked = run(LayerSensitivity(target_drop=None), additive)
    assert (found, asked) == (None, [])


def test_where_one_analog_layer_is_too_much_all_are_digital() -> None:
    found, _ = run(LayerSensitivity(target_drop=0.001), lambda digital: 0.5 if len(digital) < 5 else 0.0)
    assert found.reaches == 5


def test_a_network_of_one_layer_has_nothing_to_evaluate_but_itself() -> None:
    found, asked = run(LayerSensitivity(target_drop=0.001), additive, "a")
    assert [one.key for one in first(LayerSensitivity(), subject("a"), Variant.DIRECT)] == ["snr"]
    assert (found.reaches, asked) == (1, [])


def test_one_network_is_evaluated_once_whatever_it_is_called() -> None:
    about = subject("a", "b")
    keys = [one.key for one in first(LayerSensitivity(), about, Variant.DIRECT) if not one.observes]
    assert len(keys) == 2  # a analog is b digital
    assert setting_of(["a"], ["a", "b", "c"]).coordinates == {"digital": ["a"]}
    assert setting_of(["a", "b"], ["a", "b", "c"]).coordinates == {"analog": ["c"]}
    assert digital_layers({"analog": ["c"]}, ["a", "b", "c"]) == ["a", "b"]


def test_a_name_is_a_pattern_of_itself_alone() -> None:
    from fnmatch import fnmatchcase

    for name in ("blocks[0].fc*", "a?b", "plain/MatMul", "x]y"):
        assert fnmatchcase(name, literal(name))
    assert not fnmatchcase("blocks0.fc", literal("blocks[0].fc"))


def test_layers_that_the_ranking_took_in_vain_go_back_to_the_tiles() -> None:
    """Only `b` and `a` together are enough, and `e` comes before `a` in the ranking."""

    def loss(digital: frozenset[str]) -> float:
        return 0.001 if {"a", "b"} <= digital else 0.05 + 0.5 * additive(digital)

    found, asked = run(LayerSensitivity(target_drop=0.01, mode="one_digital"), loss)
    assert found.ranking[: found.reaches] == ("b", "e", "a")
    assert set(found.digital) == {"a", "b"}
    assert asked[-1] != tuple(found.ranking[: found.reaches])


def test_where_no_first_layers_are_enough_the_largest_harmless_ones_stay_on_tiles() -> None:
    """`d` costs nothing, but alone does not decide: with any other layer on tiles it does."""

    def loss(digital: frozenset[str]) -> float:
        return 0.0 if digital == {"a", "b", "d", "e"} else 0.5

    found, _ = run(LayerSensitivity(target_drop=0.01), loss)
    assert set(found.digital) == {"a", "b", "d", "e"}
    assert found.is_over


def test_few_layers_are_tried_for_the_way_back() -> None:
    names = [f"l{number}" for number in range(30)]
    for name in names:
        SIZES[name] = 10
    try:
        found, asked = run(
            LayerSensitivity(target_drop=0.01, mode="one_digital"),
            lambda digital: 0.5 if len(digital) < 29 else 0.0,
            *names,
        )
    finally:
        for name in names:
            del SIZES[name]
    assert (found.reaches, len(found.digital)) == (29, 29)
    assert len(asked) <= 8 + 6
