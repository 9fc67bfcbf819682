"""Analyses: which effect costs how much, which layer cannot stand it, what would help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from driftline.extras import need
from driftline.resources.record import Record

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class AnalysisState(Record):
    """An analysis of a job, and how far it is."""

    type: str
    state: str
    done: int
    total: int
    url: str


class Analysis(Record):
    """What an analysis has found by now; `complete` says whether that is all."""

    type: str
    job: str
    complete: bool
    metric: str
    totals: list[dict[str, Any]]
    notes: list[str]
    rows: list[dict[str, Any]]

    def to_pandas(self) -> pd.DataFrame:
        """Return a table of its rows; an estimate `x` is `x_mean`, `x_ci95_low` and `x_ci95_high`.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return need("pandas", "tables").DataFrame([_flat(row) for row in self["rows"]])

    def plot(self, *, title: str = "") -> Figure:
        """Return a picture of it: of an error budget a waterfall from digital to analog.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        need("matplotlib", "pictures")
        from driftline import plots

        figure: Figure = plots.ANALYSES[self["type"]](self, title)
        return figure

    def _told(self) -> list[str]:
        return [self["type"], f"of job {self['job']}:", "(complete)" if self["complete"] else "(so far)"]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping) and "ci95" in value:
            low, high = value["ci95"] or (None, None)
            flat |= {f"{name}_mean": value["mean"], f"{name}_ci95_low": low, f"{name}_ci95_high": high}
            flat["repeats"] = value["repeats"]
        elif name == "ci95":
            flat |= {"ci95_low": value[0], "ci95_high": value[1]}
        else:
            flat[name] = value
    return flat
