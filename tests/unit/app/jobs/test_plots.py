from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from app.jobs import plots


def result(*points: tuple[float, int]) -> dict[str, Any]:
    spread = {"p05": 0.8, "p95": 0.9, "ci95": (0.84, 0.86)}
    nothing = {"p05": None, "p95": None, "ci95": None}
    series = [
        {
            "variant": variant,
            "points": [{"t_inference": t, "mean": 0.85, **(spread if n > 1 else nothing)} for t, n in points],
        }
        for variant in ("direct", "hwa")
    ]
    return {"metric": "accuracy", "baseline": {"digital": {"accuracy": 0.97}}, "series": series}


@pytest.mark.parametrize(
    "points",
    [[(1.0, 10), (3600.0, 10), (31536000.0, 10)], [(0.0, 10), (1.0, 10)], [(1.0, 1)], [(0.0, 1)], []],
    ids=["three times", "from zero", "one chip", "only zero", "nothing yet"],
)
def test_any_results_can_be_drawn(points: list[tuple[float, int]]) -> None:
    svg = plots.draw(result(*points), "a <job> & $\\more", "svg")
    assert ET.fromstring(svg).tag.endswith("svg")
    assert plots.draw(result(*points), "title", "png").startswith(b"\x89PNG")


def test_a_metric_that_was_not_finite_leaves_a_gap() -> None:
    found = result((1.0, 10), (3600.0, 10))
    found["metric"], found["baseline"] = "mse", {"digital": {"mse": None}}
    for point in (found["series"][0]["points"][1], *found["series"][1]["points"]):
        point.update(dict.fromkeys(("mean", "ci95", "p05", "p95")))
    assert plots.draw(found, "title", "png").startswith(b"\x89PNG")


def test_the_same_results_give_the_same_bytes() -> None:
    assert plots.draw(result((1.0, 2)), "t", "png") == plots.draw(result((1.0, 2)), "t", "png")
    assert plots.draw(result((1.0, 2)), "t", "svg") == plots.draw(result((1.0, 2)), "t", "svg")
