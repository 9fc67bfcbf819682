"""What a benchmark found: one row of the table, of the file and of the picture."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

PACKAGES = ("torch", "numpy", "numba", "aihwkit", "aihwkit-lightning")


@dataclass(frozen=True)
class Row:
    """A measured number with what it should be.

    Attributes:
        work: what was measured.
        unit: of value and target; `x` is a ratio measured in one run.
        value: the number.
        target: what it should be at most, or at least.
        better: `lower` or `higher`.
        detail: the numbers that it was made from.
    """

    work: str
    unit: str
    value: float
    target: float
    better: str = "lower"
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the value is as good as the target."""
        return self.value <= self.target if self.better == "lower" else self.value >= self.target


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table."""
    table = Table(title="Measured against the targets")
    for column in ("work", "value", "target", ""):
        table.add_column(column, justify="right" if column in ("value", "target") else "left")
    for row in rows:
        limit = "at most" if row.better == "lower" else "at least"
        table.add_row(
            row.work,
            f"{row.value:.3g} {row.unit}",
            f"{limit} {row.target:g} {row.unit}",
            "[green]met[/green]" if row.met else "[red]missed[/red]",
        )
    console.print(table)


def save(rows: Sequence[Row], path: Path) -> None:
    """Write the rows with what they were measured on.

    Rows of other works that are there already stay; if they were measured elsewhere, their details say where.
    """
    measured = {row.work: asdict(row) for row in rows}
    here = {
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), **_versions()},
    }
    before = json.loads(path.read_text()) if path.exists() else {"rows": []}
    there = {key: before.get(key) for key in here}
    kept = {row["work"]: row for row in before["rows"]}
    for work, row in kept.items():
        if work not in measured and there != here:
            row["detail"].setdefault("measured earlier, on", there)
    document = {**here, "rows": list({**kept, **measured}.values())}
    path.write_text(json.dumps(document, indent=1) + "\n")


def draw(path: Path, picture: Path) -> None:
    """Draw how far each row of the file is from its target."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [Row(**row) for row in json.loads(path.read_text())["rows"]]
    shares = [
        max(row.value / row.target if row.better == "lower" else row.target / row.value, 0) for row in rows
    ]
    figure = Figure(figsize=(9, 1.2 + 0.32 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.barh(
        [f"{row.work}: {row.value:.3g} {row.unit}" for row in rows],
        shares,
        color=["tab:green" if row.met else "tab:red" for row in rows],
    )
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("share of the target (below 1: met)")
    axes.invert_yaxis()
    figure.savefig(picture, dpi=110)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return {**found, "threads": str(torch.get_num_threads())}
