"""Pictures of costs."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from driftline import plots
from driftline.plots.cost import shown_components


def around(value):
    return {"low": value / 2, "nominal": value, "high": value * 2}


def answer(layers=3, components=("adc", "dac"), value=1e-9):
    parts = {name: around(value) for name in components}
    whole = around(value * len(components))
    return {
        "profile": "a <profile> & $more",
        "energy_j": around(layers * len(components) * value),
        "latency_s": around(1e-6),
        "components": {name: around(layers * value) for name in components},
        "layers": [
            {"name": f"layer <{n}>", "nodes": 1 + n, "energy_j": whole, "components": parts}
            for n in range(layers)
        ],
    }


def point(value, mean=0.9, ci95=(0.88, 0.92)):
    return {"name": "a <job>", "energy_j": around(value), "mean": mean, "ci95": ci95}


@pytest.mark.parametrize(
    "cost",
    [
        answer(),
        answer(layers=0, components=()),
        answer(layers=100),
        answer(components=[f"part_{n}" for n in range(20)]),
        answer(value=0.0),
    ],
    ids=["few", "nothing", "many layers", "many components", "free"],
)
def test_any_cost_can_be_drawn(cost):
    svg = plots.to_bytes(plots.cost(cost, "a <job> & $\\more"), "svg")
    assert ET.fromstring(svg).tag.endswith("svg")
    assert plots.to_bytes(plots.cost(cost), "png").startswith(b"\x89PNG")


def test_many_layers_and_components_are_drawn_as_the_largest_and_the_rest():
    svg = plots.to_bytes(
        plots.cost(answer(layers=100, components=[f"part_{n}" for n in range(20)])), "svg"
    ).decode()
    assert "71 others" in svg
    assert "all others" in svg
    assert len(shown_components(answer(components=[f"part_{n}" for n in range(20)]))) == 6
    assert len(shown_components(answer(components=[f"part_{n}" for n in range(7)]))) == 7


@pytest.mark.parametrize(
    "points", [[], [point(1e-9)], [point(1e-9), point(1e-3, ci95=None)]], ids=["none", "one", "two"]
)
def test_any_jobs_can_be_drawn_by_accuracy_and_energy(points):
    svg = plots.to_bytes(plots.accuracy_against_energy(points, "accuracy", "a <tag>"), "svg")
    assert ET.fromstring(svg).tag.endswith("svg")


def test_the_same_cost_gives_the_same_bytes():
    assert plots.to_bytes(plots.cost(answer()), "svg") == plots.to_bytes(plots.cost(answer()), "svg")
