from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from driftline import plots


def drawn(results: dict[str, Any], title: str, file_format: str) -> bytes:
    return plots.to_bytes(plots.accuracy(results, title), file_format)


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
    svg = drawn(result(*points), "a <job> & $\\more", "svg")
    assert ET.fromstring(svg).tag.endswith("svg")
    assert drawn(result(*points), "title", "png").startswith(b"\x89PNG")


def test_a_metric_that_was_not_finite_leaves_a_gap() -> None:
    found = result((1.0, 10), (3600.0, 10))
    found["metric"], found["baseline"] = "mse", {"digital": {"mse": None}}
    for point in (found["series"][0]["points"][1], *found["series"][1]["points"]):
        point.update(dict.fromkeys(("mean", "ci95", "p05", "p95")))
    assert drawn(found, "title", "png").startswith(b"\x89PNG")


def test_chips_in_waves_have_both_intervals_and_unmet_goals_are_hollow() -> None:
    found = result((1.0, 10), (3600.0, 10))
    plain = plots.accuracy(found).axes[0]
    for one, goal in zip(found["series"][0]["points"], (True, False), strict=True):
        one.update({"ci95_adaptive": (0.8, 0.9), "goal_reached": goal})
    axes = plots.accuracy(found).axes[0]
    added = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert [list(line.get_ydata()) for line in added] == [[80.0, 90.0]] * 2
    assert [list(one.get_xdata()) for one in axes.lines if one.get_markerfacecolor() == "white"] == [[3600.0]]
    assert len(axes.lines) == len(plain.lines) + 3
    assert "hollow" in axes.texts[-1].get_text()
    assert not any("waves" in text.get_text() for text in plain.texts)


def test_the_same_results_give_the_same_bytes() -> None:
    assert drawn(result((1.0, 2)), "t", "png") == drawn(result((1.0, 2)), "t", "png")
    assert drawn(result((1.0, 2)), "t", "svg") == drawn(result((1.0, 2)), "t", "svg")


def texts_of(svg: bytes) -> list[str]:
    return [node.text or "" for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_picture_holds_the_title_as_text_whatever_is_in_it() -> None:
    title = "短い 名前 \U0001f600 & <b> LeNet"
    assert title in texts_of(drawn(result((1.0, 10), (3600.0, 10)), title, "svg"))
    assert drawn(result((1.0, 10)), title, "png").startswith(b"\x89PNG")


def test_control_characters_leave_the_picture_a_valid_one() -> None:
    title = "a\x01b\x1b[31m\x85c\ud800\ufffe"
    texts = texts_of(drawn(result((1.0, 10)), title, "svg"))
    assert "a\ufffdb\ufffd[31m\ufffdc\ufffd\ufffd" in texts
    assert drawn(result((1.0, 10)), title, "png").startswith(b"\x89PNG")


def test_a_long_title_is_cut_with_an_ellipsis() -> None:
    texts = texts_of(drawn(result((1.0, 10)), "sweep of the output noise " * 40, "svg"))
    lines = [text for text in texts if text.startswith(("sweep", "noise", "output", "of", "the"))]
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert max(map(len, lines)) <= 80


def test_the_axis_of_an_accuracy_ends_at_100_percent() -> None:
    found = result((1.0, 10), (3600.0, 10))
    for series in found["series"]:
        for point in series["points"]:
            point.update({"mean": 0.995, "ci95": (0.98, 1.01), "p05": 0.97, "p95": 1.0})
    ticks = [text for text in texts_of(drawn(found, "title", "svg")) if re.fullmatch(r"[\d.]+", text)]
    assert ticks
    assert max(map(float, ticks)) <= 100
