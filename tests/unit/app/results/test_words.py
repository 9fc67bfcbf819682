"""A result in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from app.results import statistics
from app.results.cells import Cells
from app.results.lifetime import lives
from app.results.thresholds import ThresholdQuery, threshold_of
from app.results.words import Found, Summary, summarise
from simulator.config.evaluation import RepeatsUntil
from simulator.config.tasks import TASKS, Metric, Task

TOTAL = 1_000_000
DAY, MONTH, YEAR = 86400.0, 2592000.0, 31536000.0
Law = Callable[[int, float], float]


def said(
    laws: dict[str, Law],
    *,
    chips: int = 10,
    times_s: Sequence[float] = (1.0, 3600.0, DAY, MONTH, YEAR),
    digital: float | None = 0.98,
    query: ThresholdQuery | None = None,
    state: str = "succeeded",
    classes: int | None = None,
    until: RepeatsUntil | None = None,
    samples: int = 1000,
) -> Summary:
    rows = [
        (variant, chip, t, {"correct": round(TOTAL * law(chip, t)), "total": TOTAL, "loss_sum": 1.0})
        for variant, law in laws.items()
        for t in times_s
        for chip in range(chips)
    ]
    cells = Cells.of(rows)
    baseline = (
        {}
        if digital is None
        else {"digital": {"accuracy": digital, "correct": round(samples * digital), "total": samples}}
    )
    answer: dict[str, Any] = {
        "metric": TASKS[Task.CLASSIFICATION].metric,
        "baseline": baseline,
        "repeats_until": None if until is None else until.model_dump(mode="json"),
        "series": statistics.series(Task.CLASSIFICATION, cells, until),
    }
    threshold = threshold_of(Metric.ACCURACY, baseline, query or ThresholdQuery())
    found = [] if threshold is None else lives(Task.CLASSIFICATION, cells, threshold.value, until)
    return summarise(Found(answer, threshold, found, state, len(cells), 2 * len(cells), classes))


def falling(slope: float, spread: float = 0.0, start: float = 0.98) -> Law:
    return lambda chip, t: start - (slope + spread * (chip - 4.5)) * math.log(t)


def test_the_headline_says_what_a_job_has_found() -> None:
    # exp(0.03 / slope) is the time to 95 %: about 1.2 days, and more than a year.
    laws = {"direct": falling(0.03 / math.log(1.2 * DAY), 1e-5), "hwa": falling(0.0008, 0.0001)}
    found = said(laws, query=ThresholdQuery(accuracy=0.95))
    assert found.headline == (
        "Digital 98.0 %."
        " One day after programming 95.0 % (95 % interval 95.0 to 95.1 over 10 chips), 97.1 % with HWA fine-tuning."
        " Falls below 95 % after about 1.2 days (direct), not within 1 year (hwa);"
        " 10 of 10 chips hold 95 % for a month (hwa)."
    )
    assert found.sentences[3] == "One year after programming 93.5 %, 96.6 % with HWA fine-tuning."
    assert found.facts["holding"] == {"variant": "hwa", "t_inference": MONTH, "chips": 10, "of": 10}
    medians = {one["variant"]: one["median"] for one in found.facts["time_to_threshold"]}
    assert medians["direct"] == pytest.approx(1.2 * DAY, rel=0.05)
    assert medians["hwa"] is None


def test_the_default_threshold_is_named_with_where_it_comes_from() -> None:
    found = said({"direct": falling(0.002)})
    assert "Falls below 97 % (one point below digital) after about 2.5 minutes (direct)" in found.headline
    assert found.facts["threshold"] == pytest.approx(0.97)


def test_a_share_is_not_given_for_fewer_than_ten_chips() -> None:
    found = said({"direct": falling(0.002)}, chips=9)
    assert "fewer than 10 chips were evaluated, so no share of chips is given" in found.headline
    assert found.facts["holding"] is None
    assert any("intervals and medians are rough" in sentence for sentence in found.sentences)


def test_one_chip_says_nothing_of_the_spread() -> None:
    found = said({"hwa": falling(0.0002)}, chips=1)
    assert "97.8 % with HWA fine-tuning (one chip)" in found.headline
    assert "Does not fall below 97 % (one point below digital) within 1 year (hwa)" in found.headline
    assert "One chip was evaluated: how much chips differ is not known." in found.sentences


def test_an_interval_of_an_accuracy_ends_at_100_percent() -> None:
    found = said({"direct": lambda chip, _: 1.0 - 0.02 * chip}, chips=2)
    assert "to 100.0 over 2 chips" in found.headline


def test_a_network_that_is_too_bad_at_once_is_said_to_be() -> None:
    found = said({"direct": falling(0.0, start=0.5)})
    assert "already one second after programming (direct)" in found.headline
    assert "0 of 10 chips hold 97 %" in found.headline


def test_without_a_digital_result_there_is_no_default_threshold() -> None:
    found = said({"direct": falling(0.002)}, digital=None)
    assert found.headline.startswith("The digital accuracy is not known. One day after programming")
    assert "Falls below" not in found.headline
    assert found.facts["threshold"] is None
    asked = said({"direct": falling(0.002)}, digital=None, query=ThresholdQuery(threshold=0.97))
    assert "Falls below 97 % after about" in asked.headline


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("running", "So far 50 of 100 cells are evaluated."),
        ("failed", "The job failed after 50 of 100 cells."),
        ("cancelled", "The job was cancelled after 50 of 100 cells."),
    ],
)
def test_what_is_not_complete_is_said_to_be_so(state: str, sentence: str) -> None:
    assert said({"direct": falling(0.002)}, state=state).headline.endswith(sentence)


@pytest.mark.parametrize(
    ("digital", "is_guessing"), [(0.11, True), (0.05, True), (0.2, False), (0.98, False)]
)
def test_an_accuracy_near_chance_is_said_to_be_so(digital: float, is_guessing: bool) -> None:
    found = said({"direct": falling(0.0, start=digital)}, digital=digital, classes=10)
    assert ("hardly better than guessing among 10 classes" in found.headline) == is_guessing


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (1, "One sample is too few to tell that from guessing among 2 classes."),
        (2, "2 samples are too few to tell that from guessing among 2 classes."),
        (100, None),
    ],
)
def test_few_right_samples_are_not_called_guessing(samples: int, sentence: str | None) -> None:
    headline = said({"direct": falling(0.0)}, digital=1.0, classes=2, samples=samples).headline
    assert "hardly better" not in headline
    assert ("too few to tell" in headline) == (sentence is not None)
    assert (sentence or "") in headline


def test_nothing_evaluated_is_said_too() -> None:
    found = said({}, state="queued")
    assert found.headline == "Digital 98.0 %. So far 0 of 0 cells are evaluated."


def test_the_moment_of_programming_has_a_name() -> None:
    found = said({"direct": lambda _, __: 0.9}, times_s=(0.0,))
    assert "Right after programming 90.0 %" in found.headline
    assert "already right after programming (direct)" in found.headline
    assert "0 of 10 chips hold 97 % right after programming." in found.headline


@pytest.mark.parametrize(
    ("goal", "sentence"),
    [
        (0.2, "Chips came in waves until the mean was known to ± 20 points; 8 chips were enough."),
        (
            1e-6,
            "The job asked to know the mean to ± 0.0001 points, and stopped at 8 chips, the most that it allows:",
        ),
    ],
)
def test_chips_in_waves_are_said_to_be_enough_or_not(goal: float, sentence: str) -> None:
    until = RepeatsUntil(until_ci95=goal, at_least=4, at_most=8)
    laws = {"direct": falling(0.002, 0.0001)}
    assert any(one.startswith(sentence) for one in said(laws, chips=8, until=until).sentences)
    running = said(laws, chips=8, until=until, state="running").sentences
    assert not any("in waves" in one or "stopped at" in one for one in running)
