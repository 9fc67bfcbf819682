"""The waterfall of an error budget."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from driftline import plots
from driftline.plots.budget import waterfall


def mean(value: float | None, half: float | None = 0.01) -> dict[str, Any]:
    ci95 = None if half is None or value is None else [value - half, value + half]
    return {"mean": value, "ci95": ci95, "repeats": 3}


def budget(method: str = "shapley", metric: str = "accuracy", half: float | None = 0.01) -> dict[str, Any]:
    costs = {"mapping": 0.01, "programming": 0.05, "drift": -0.02}
    rows = [
        {
            "variant": "direct", "t_inference": 3600.0, "group": group, "on": True, "alone": mean(cost, half),
            "without": None if group == "mapping" else mean(cost, half),
            "share": mean(cost, half) if method == "shapley" else None,
        }
        for group, cost in costs.items()
    ]  # fmt: skip
    rows.append({**rows[-1], "group": "array", "on": False, "alone": mean(0.0), "share": mean(0.0)})
    together = 0.0 if method == "shapley" else 0.03
    total = {
        "variant": "direct", "t_inference": 3600.0, "digital": 0.9, "repeats": 3,
        "total": mean(sum(costs.values()) + together, half),
    }  # fmt: skip
    return {"method": method, "metric": metric, "rows": rows, "totals": [total]}


def test_steps_lead_from_digital_to_analog() -> None:
    found = budget()
    steps = waterfall(found, found["totals"][0])
    assert [step.name for step in steps] == ["digital", "mapping", "programming", "drift", "analog"]
    for before, after in pairwise(steps[:-1]):
        assert after.begin == before.end
    assert steps[-2].end == pytest.approx(steps[-1].end) == pytest.approx(0.86)


def test_an_error_rises_from_digital_to_analog() -> None:
    found = budget(metric="mse")
    steps = waterfall(found, found["totals"][0])
    assert (steps[0].end, steps[-1].end) == (0.9, pytest.approx(0.94))


def test_without_shares_each_group_has_what_it_costs_alone() -> None:
    found = budget("one_at_a_time")
    _, mapping, *alone, analog = waterfall(found, found["totals"][0])
    assert {step.begin for step in alone} == {mapping.end}
    assert [step.end - step.begin for step in alone] == pytest.approx([-0.05, 0.02])
    assert analog.end == pytest.approx(0.83)


@pytest.mark.parametrize("half", [0.01, None], ids=["chips", "one chip"])
@pytest.mark.parametrize("method", ["shapley", "one_at_a_time"])
@pytest.mark.parametrize("metric", ["accuracy", "mse"])
def test_any_budget_can_be_drawn(method: str, metric: str, half: float | None) -> None:
    svg = plots.to_bytes(plots.error_budget(budget(method, metric, half), "a <job>"), "svg")
    assert ET.fromstring(svg).tag.endswith("svg")


def test_a_budget_that_is_not_complete_has_no_steps_and_is_drawn() -> None:
    found = budget()
    found["rows"][1]["share"] = None
    assert waterfall(found, found["totals"][0]) == []
    assert plots.to_bytes(plots.error_budget(found), "png").startswith(b"\x89PNG")
    found["totals"][0]["total"] = mean(None)
    assert waterfall(found, found["totals"][0]) == []
