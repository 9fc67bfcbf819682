"""Analyses as tables for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from driftline.cli.output import print_table, say
from driftline.resources.analyses import Analysis
from driftline.times import in_table, in_words
from driftline.words import interval, signed

# Of each type: what names a row, and the estimates in it with their titles.
_TABLES: Final[Mapping[str, tuple[Sequence[str], Mapping[str, str]]]] = {
    "advice": (("layer", "field", "from", "to", "expected_gain_db"), {"verified_gain": "verified gain"}),
    "layer_sensitivity": (("layer", "mode"), {"loss": "lost", "won_back": "won back with it digital"}),
    "maintenance_plan": (("do", "interval_s", "share", "chips"), {}),
    "error_budget": (("group",), {"alone": "alone", "without": "back without it", "share": "share"}),
}


def print_analysis(found: Analysis) -> None:
    """Print an analysis: a table of its rows, and what to know before they are used."""
    names, estimates = _TABLES[found.type]
    shown = {key: title for key, title in estimates.items() if any(row[key] for row in found.rows)}
    rows = [
        [
            row["variant"],
            in_table(row["t_inference"]),
            *(_shown(row[name]) for name in names),
            *(_told(row[key], found.metric) for key in shown),
        ]
        for row in found.rows
    ]
    lost = f", lost {found.metric}" if estimates else ""
    say(f"{found.type}{'' if found.complete else ' (so far)'}{lost}:")
    columns = ("variant", "time", *names, *shown.values())
    print_table(columns, rows, numbers=tuple(shown.values()), empty="nothing yet")
    for one in found.get("longest", ()):
        say(f"{one['do']} ({one['variant']}): {_longest(one, found['horizon_s'])}")
    for note in found.notes:
        say(note)
    if found.get("suggestion"):
        say(f"suggestion: {json.dumps(found['suggestion'])}")


def _longest(one: Mapping[str, Any], horizon_s: float) -> str:
    if one["censored"] == "above":
        return f"not needed within {in_words(horizon_s)}"
    if one["censored"] == "below":
        return "not even once an hour is enough"
    if one["longest_interval_s"] is None:
        return "not known yet"
    return f"at most {in_words(one['longest_interval_s'])} apart"


def _shown(value: Any) -> str:
    if value is None:
        return "all"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _told(estimate: Mapping[str, Any] | None, metric: str) -> str:
    if estimate is None or estimate["mean"] is None:
        return "-"
    told = signed(estimate["mean"], metric)
    return told if estimate["ci95"] is None else f"{told} ({interval(estimate['ci95'], metric)})"
