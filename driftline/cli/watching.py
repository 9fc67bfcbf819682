"""Waiting for a job on a terminal, and what is shown of it then."""

from __future__ import annotations

import sys

from driftline.cli.output import note, print_json, print_table, say
from driftline.client import Job
from driftline.errors import NotFound
from driftline.resources.jobs import JobRecord
from driftline.resources.results import Results
from driftline.times import in_table
from driftline.words import doing, interval_of_mean, number


def follow(job: Job, *, as_json: bool) -> None:
    """Wait for a job, showing how far it is on standard error, and print its answer.

    Raises:
        JobFailed: it did not succeed.
    """
    seen: list[str] = []

    def tell(now: JobRecord) -> None:
        """Say what the job does, where no bar can be drawn."""
        text = doing(now)
        if not seen or seen[-1] != text:
            seen.append(text)
            note(text)

    job.wait(on_change=None if sys.stderr.isatty() else tell)
    if as_json:
        print_json(job)
        return
    headline = _headline(job)
    if headline:
        say(headline)
    print_results(job.results())


def print_results(results: Results) -> None:
    """Print a row for each variant and time."""
    metric = results.metric
    rows = [
        [
            series.variant,
            in_table(point.t_inference),
            str(point.repeats),
            number(point.mean, metric),
            interval_of_mean(point, metric),
        ]
        for series in results.series
        for point in series.points
    ]
    told = [[name, "", "", number(found.get(metric), metric), ""] for name, found in results.baseline.items()]
    columns = ("variant", "time", "chips", metric, "95 % interval")
    print_table(columns, told + rows, numbers=columns[2:], empty="no results yet")
    if not results.complete:
        note("not complete yet")


def _headline(job: Job) -> str:
    """Return the job's answer in words, empty where the service has none."""
    try:
        return job.summary().headline
    except NotFound:
        return ""
