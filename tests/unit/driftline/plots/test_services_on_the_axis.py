"""Services are marks on the axis of time, one row of them for each kind."""

from __future__ import annotations

from typing import Any

from driftline import plots

DAY_S, YEAR_S = 86400.0, 31536000.0


def marks(*rules: dict[str, Any]) -> dict[str, list[float]]:
    points = [{"t_inference": t, "mean": 0.9, "ci95": None, "p05": None, "p95": None} for t in (1.0, YEAR_S)]
    results = {
        "metric": "accuracy", "baseline": {}, "series": [{"variant": "direct", "points": points}],
        "maintenance": [{"every": None, "at": None, **rule} for rule in rules],
    }  # fmt: skip
    [axes] = plots.accuracy(results).axes
    found = {line.get_label(): list(map(float, line.get_xdata())) for line in axes.lines}
    return {label: times for label, times in found.items() if label.startswith("service: ")}


def test_each_service_is_a_mark_and_rules_of_one_kind_share_a_row():
    found = marks(
        {"at": [DAY_S, 2 * YEAR_S], "do": ["compensate"]},
        {"every": YEAR_S / 3, "do": ["compensate"]},
        {"at": [5.0], "do": ["refresh_batch_norm", "reprogram"]},
    )
    assert found == {
        "service: compensate": [DAY_S, YEAR_S / 3, 2 * YEAR_S / 3, YEAR_S],
        "service: refresh batch norm and reprogram": [5.0],
    }


def test_of_many_services_some_are_shown_over_the_whole_axis():
    [times] = marks({"every": 60.0, "do": ["compensate"]}).values()
    assert (times[0], times[-1]) == (60.0, YEAR_S)
    assert len(times) <= 40


def test_without_a_schedule_there_are_none():
    assert marks() == {}
