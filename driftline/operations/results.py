"""What jobs found: numbers, words, pictures, files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftline.core.steps import Flow, call, call_json, get, work
from driftline.operations.naming import Named, id_of, path_of
from driftline.resources.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def results(job: Named, *, cells: bool = False, test_set_ci: bool = False) -> Flow[Any]:
    """Return the results so far.

    Args:
        job: whose.
        cells: with every cell, which is one variant on one chip at one time.
        test_set_ci: with Wilson's interval for the finite test set.
    """
    params = {"cells": cells or None, "test_set_ci": test_set_ci or None}
    return (yield from call_json(get(path_of("jobs", job, "results"), params)))


def results_as(job: Named, file_format: str, *, cells: bool = False) -> Flow[bytes]:
    """Return the results so far as the content of a file: `csv`, `parquet`, `svg`, `png` or `json`."""
    params = {"format": file_format, "cells": cells or None}
    return (yield from call(get(path_of("jobs", job, "results"), params))).content


def plot(job: Named, *, title: str | None = None) -> Flow[Figure]:
    """Return a picture of the accuracy over time, with its spread over chips; the job's name is its title.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    found = yield from results(job)
    if title is None:
        title = (job.get("name") or "") if isinstance(job, Mapping) else ""
    return (yield from work(lambda: Results(found).plot(title=title)))


def history(job: Named) -> Flow[Any]:
    """Return the fine-tuning epochs."""
    return (yield from call_json(get(path_of("jobs", job, "history"))))


def summary(
    job: Named, *, accuracy: float | None = None, drop: float | None = None, threshold: float | None = None
) -> Flow[Any]:
    """Return the job's answer in plain words; the threshold is that of `lifetime`."""
    params = {"accuracy": accuracy, "drop": drop, "threshold": threshold}
    return (yield from call_json(get(path_of("jobs", job, "summary"), params)))


def lifetime(
    job: Named, *, accuracy: float | None = None, drop: float | None = None, threshold: float | None = None
) -> Flow[Any]:
    """Return when each chip falls below a threshold, and which share of the chips holds it for how long.

    Args:
        job: whose.
        accuracy: the threshold, 0 to 1.
        drop: the threshold, below the digital accuracy; 0.01 by default.
        threshold: the threshold in the unit of the job's metric, where that is not accuracy.
    """
    params = {"accuracy": accuracy, "drop": drop, "threshold": threshold}
    return (yield from call_json(get(path_of("jobs", job, "lifetime"), params)))


def analyses(job: Named) -> Flow[list[Any]]:
    """Return what else was asked of the job, and how far each analysis is."""
    return list((yield from call_json(get(path_of("jobs", job, "analyses"))))["items"])


def analysis(job: Named, analysis_type: str) -> Flow[Any]:
    """Return what an analysis has found by now.

    Args:
        job: whose.
        analysis_type: such as `error_budget`.
    """
    return (yield from call_json(get(path_of("jobs", job, "analyses", analysis_type))))


def analysis_as(job: Named, analysis_type: str, file_format: str) -> Flow[bytes]:
    """Return an analysis as the content of a file: `csv`, `parquet`, `svg`, `png` or `json`."""
    path = path_of("jobs", job, "analyses", analysis_type)
    return (yield from call(get(path, {"format": file_format}))).content


def report(job: Named, path: str | os.PathLike[str] | None = None) -> Flow[bytes]:
    """Return the job's report, one HTML file that needs nothing else; write it to `path` if there is one."""
    content = (yield from call(get(path_of("jobs", job, "report")))).content
    if path is not None:
        write_whole(Path(path), content)
    return content


def compare(*jobs: Named) -> Flow[Any]:
    """Return jobs side by side, each compared with the first."""
    return (yield from call_json(get("/v1/compare", {"job": [id_of(one) for one in jobs]})))


def artifacts(job: Named) -> Flow[list[Any]]:
    """Return which files the job made."""
    answer = yield from call_json(get(path_of("jobs", job, "artifacts")))
    return list(answer["items"])


def artifact(job: Named, name: str) -> Flow[bytes]:
    """Return the content of a file that the job made, such as `finetuned.onnx`."""
    return (yield from call(get(path_of("jobs", job, "artifacts", name)))).content


def download(job: Named, name: str, path: str | os.PathLike[str] | None = None) -> Flow[Path]:
    """Write a file that the job made to `path`, a file or a folder, and return where it lies.

    Without a path it goes into the present folder, under its own name.
    """
    target = Path(name if path is None else path)
    content = yield from artifact(job, name)
    if target.is_dir():
        target = target / Path(name).name
    write_whole(target, content)
    return target


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, wholly or not at all."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
