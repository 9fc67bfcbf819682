"""The rows of the form's schedule, read without a browser: the script runs in the Node that Playwright brings."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable

from simulator.config.maintenance import MaintenanceRule

SCRIPTS = Path(__file__).parents[4] / "app/pages/static/js"
RUN = """
const { rowsOf, scheduleOf } = await import(process.argv[1]);
const said = JSON.parse(process.argv[2]).map(([name, value]) => {
  try { return { is: (name === "rowsOf" ? rowsOf : scheduleOf)(value) }; } catch (error) { return { error: error.message }; }
});
console.log(JSON.stringify(said));
"""


def called(*calls: tuple[str, Any]) -> list[dict[str, Any]]:
    """Call functions of the script, and return what each returns or throws."""
    node, _ = compute_driver_executable()
    command = [node, "--input-type=module", "-e", RUN, (SCRIPTS / "schedule.js").as_uri(), json.dumps(calls)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    answer: list[dict[str, Any]] = json.loads(found.stdout)
    return answer


def row(when: str, times: str, does: str = "compensate") -> dict[str, str]:
    return {"when": when, "times": times, "does": does}


def stored(*rules: dict[str, Any]) -> list[dict[str, Any]]:
    """A schedule as the service has it."""
    return [MaintenanceRule(**rule).model_dump(mode="json") for rule in rules]


def test_rows_are_a_schedule_that_the_service_takes() -> None:
    rows = [row("every", "1 month"), row("at", "1 h, 1.5 days"), row("every", "1 year", "reprogram")]
    [found] = called(("scheduleOf", rows))
    assert found["is"] == [
        {"every": 2592000, "do": ["compensate"]},
        {"at": [3600, 129600], "do": ["compensate"]},
        {"every": 31536000, "do": ["reprogram"]},
    ]
    assert stored(*found["is"])


def test_services_at_the_same_times_are_one_rule_in_their_order() -> None:
    together = [row("every", "1 week"), row("every", "7 days", "refresh_batch_norm")]
    twice, apart = [row("at", "1 h")] * 2, [row("every", "1 h"), row("at", "1 h", "reprogram")]
    found = called(*(("scheduleOf", rows) for rows in (together, twice, apart)))
    assert [one["is"] for one in found] == [
        [{"every": 604800, "do": ["compensate", "refresh_batch_norm"]}],
        [{"at": [3600], "do": ["compensate"]}] * 2,
        [{"every": 3600, "do": ["compensate"]}, {"at": [3600], "do": ["reprogram"]}],
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row("every", "a while")], "“a while” is no time"),
        ([row("every", "1 h"), row("at", "soon")], "service 2: “soon” is no time"),
        ([row("every", " ")], "say when it is done, such as 1 month"),
        ([row("every", "1 h, 2 h")], "one interval goes with “every”"),
    ],
)
def test_a_row_that_says_nothing_clear_is_named(rows: list[dict[str, str]], said: str) -> None:
    [found] = called(("scheduleOf", rows))
    assert said in found["error"]


def test_a_jobs_schedule_becomes_rows_that_say_the_same() -> None:
    schedule = stored(
        {"at": [3600, 86400], "do": ["compensate"]},
        {"every": 2592000, "do": ["calibrate_input_ranges", "compensate"]},
    )
    [rows] = called(("rowsOf", schedule))
    assert len(rows["is"]) == 3
    [back] = called(("scheduleOf", rows["is"]))
    assert stored(*back["is"]) == schedule


def test_what_rows_cannot_say_is_kept_as_it_is() -> None:
    with_samples = stored({"every": 3600, "do": ["refresh_batch_norm"], "samples": 64})
    apart = stored({"every": 3600, "do": ["compensate"]}, {"every": 3600, "do": ["reprogram"]})
    found = called(("rowsOf", with_samples), ("rowsOf", apart))
    assert [one["is"] for one in found] == [None, None]
