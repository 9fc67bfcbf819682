"""Results: numbers as records, tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from driftline.errors import InvalidInput
from driftline.extras import need
from driftline.resources.jobs import Epoch
from driftline.resources.record import Record, each

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Point(Record):
    """The metric over chips at one time; spreads are None for one chip."""

    t_inference: float
    repeats: int
    mean: float | None
    std: float | None
    ci95: list[float] | None
    ci95_adaptive: list[float] | None
    goal_reached: bool | None
    p05: float | None
    p95: float | None
    min: float | None
    max: float | None


class Series(Record):
    """One variant over time."""

    _parts: ClassVar[Mapping[str, Any]] = {"points": each(Point)}

    variant: str
    points: list[Point]


class Results(Record):
    """Accuracy over time, as far as it was known when it was read (`complete`)."""

    _parts: ClassVar[Mapping[str, Any]] = {"series": each(Series)}

    job: str
    complete: bool
    task: str
    metric: str
    baseline: dict[str, dict[str, Any]]
    repeats_until: dict[str, Any] | None
    series: list[Series]
    maintenance: list[dict[str, Any]] | None
    cells: list[dict[str, Any]] | None

    def to_pandas(self, *, cells: bool = False) -> pd.DataFrame:
        """Return a table with a row per variant and time, or per cell.

        Args:
            cells: a row per variant, chip and time, which needs results that were read with `cells=True`.

        Raises:
            InvalidInput: cells are asked for, and these results were read without.
            MissingExtra: pandas is not installed.
        """
        pandas = need("pandas", "tables")
        if cells:
            return pandas.DataFrame(self._all_cells())
        rows = []
        for series in self["series"]:
            for point in series["points"]:
                row = {"variant": series["variant"], **point}
                for name in ("ci95", "ci95_adaptive"):
                    row[f"{name}_low"], row[f"{name}_high"] = row.pop(name, None) or (None, None)
                rows.append({name: value for name, value in row.items() if not isinstance(value, list)})
        return pandas.DataFrame(rows)

    def plot(self, *, title: str = "") -> Figure:
        """Return a picture of accuracy over time, with its spread over chips.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        figure: Figure = _plots().accuracy(self, title=title)
        return figure

    def _all_cells(self) -> list[dict[str, Any]]:
        cells = self.get("cells")
        if cells is None:
            raise InvalidInput(
                "these results were read without their cells; read them with results(cells=True)"
            )
        return list(cells)

    def _told(self) -> list[str]:
        variants = ", ".join(series["variant"] for series in self["series"]) or "nothing yet"
        return [f"of job {self['job']}:", variants, "(complete)" if self["complete"] else "(so far)"]

    def _repr_html_(self) -> str:
        from driftline import html

        return html.results(self)


class History(Record):
    """The fine-tuning epochs of a job."""

    _parts: ClassVar[Mapping[str, Any]] = {"epochs": each(Epoch)}

    job: str
    epochs: list[Epoch]

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with a row per epoch."""
        return need("pandas", "tables").DataFrame(self["epochs"])


class Summary(Record):
    """A job's answer in plain words, and the numbers that the words are made of."""

    job: str
    headline: str
    sentences: list[str]
    facts: dict[str, Any]

    def __str__(self) -> str:
        """Return the headline."""
        return str(self["headline"])

    def _told(self) -> list[str]:
        return [f"of job {self['job']}:", self["headline"]]

    def _repr_html_(self) -> str:
        from driftline import html

        return html.summary(self)


class Lifetime(Record):
    """When each chip falls below a threshold, and which share of the chips holds it for how long."""

    job: str
    complete: bool
    metric: str
    threshold: float
    digital: float | None
    series: list[dict[str, Any]]

    def plot(self, *, title: str = "") -> Figure:
        """Return a picture of the share of chips that hold, over time.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        figure: Figure = _plots().chip_yield(self, title=title)
        return figure

    def _told(self) -> list[str]:
        return [f"of job {self['job']}:", f"{self['metric']} {self['threshold']:.4g}"]


class Comparison(Record):
    """Jobs side by side, each compared with the first."""

    jobs: list[dict[str, Any]]
    metric: str
    baseline: dict[str, Any]
    points: list[dict[str, Any]]
    differences: list[dict[str, Any]]

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with a row per variant, time and job, and each job's difference from the first."""
        rows = []
        for point in self["points"]:
            differences = {one["job"]: one for one in point["differences"]}
            for job in (one["id"] for one in self["jobs"]):
                found, against = point["points"].get(job), differences.get(job, {})
                low, high = against.get("ci95") or (None, None)
                least, most = against.get("ci95_adaptive") or (None, None)
                rows.append(
                    {
                        "variant": point["variant"],
                        "t_inference": point["t_inference"],
                        "job": job,
                        "mean": None if found is None else found["mean"],
                        "difference": against.get("mean"),
                        "difference_ci95_low": low,
                        "difference_ci95_high": high,
                        "difference_ci95_adaptive_low": least,
                        "difference_ci95_adaptive_high": most,
                    }
                )
        return need("pandas", "tables").DataFrame(rows)

    def plot(self, *, title: str = "") -> Figure:
        """Return a picture of the jobs beside one another.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        figure: Figure = _plots().compare(self, title=title)
        return figure

    def _repr_html_(self) -> str:
        from driftline import html

        return html.comparison(self)


def _plots() -> Any:
    """Return the room of pictures."""
    need("matplotlib", "pictures")
    from driftline import plots

    return plots
