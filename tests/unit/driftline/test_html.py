from __future__ import annotations

from html.parser import HTMLParser

import pytest

from driftline import html
from driftline.resources.jobs import JobRecord
from driftline.resources.results import Comparison, Results, Summary
from driftline.resources.uploads import Dataset, Model

EVIL = "<script>alert('x')</script>\"&"
TENSOR = {"name": EVIL, "dtype": "float32", "shape": ["batch", None, 3]}
MODEL = {
    "id": "m", "name": EVIL, "parameters": 12, "inputs": [TENSOR], "outputs": [TENSOR],
    "layers": [{"name": EVIL, "op": EVIL, "kind": "digital", "weight_shape": [3, 4], "reason": EVIL}],
}  # fmt: skip
DATASET = {
    "id": EVIL, "name": EVIL, "train_size": 8, "test_size": 2, "classes": 3,
    "inputs": [{"name": EVIL, "dtype": "float32", "shape": [3]}],
}  # fmt: skip
JOB = {
    "id": "j", "name": EVIL, "state": "failed", "phase": "finetune", "progress": {"fraction": 0.5},
    "failure": {"code": EVIL, "message": EVIL}, "warnings": [{"message": EVIL}],
}  # fmt: skip
POINT = {"t_inference": 86400.0, "repeats": 3, "mean": 0.9512, "ci95": [0.94, 0.96]}
RESULTS = {
    "job": "j", "complete": False, "metric": "accuracy", "baseline": {"digital": {"accuracy": 0.98}},
    "series": [{"variant": EVIL, "points": [POINT] * 50}],
}  # fmt: skip
COMPARISON = {
    "jobs": [{"id": "a", "name": EVIL}, {"id": "b", "name": None}], "metric": "accuracy",
    "points": [{"variant": "direct", "t_inference": 1.0, "points": {"a": POINT},
                "differences": [{"job": "b", "mean": -0.012, "ci95": [-0.02, -0.01]}]}],
}  # fmt: skip
SUMMARY = Summary({"job": "j", "headline": EVIL, "sentences": [EVIL, f"{EVIL} too"], "facts": {}})
RECORDS = [Model(MODEL), Dataset(DATASET), JobRecord(JOB), Results(RESULTS), Comparison(COMPARISON), SUMMARY]


class Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_everything_is_escaped_and_the_tags_are_balanced(record):
    told = record._repr_html_()
    page = Balance()
    page.feed(told)
    assert not page.open
    assert "script" not in page.tags
    assert "&lt;script&gt;" in told


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_no_colour_of_text_or_ground_is_fixed(record):
    told = record._repr_html_()
    assert ";color:" not in told
    assert '"color:' not in told
    assert "background:#fff" not in told


def test_results_are_shown_with_units_and_words():
    told = Results({**RESULTS, "series": [{"variant": "direct", "points": [POINT]}]})._repr_html_()
    for part in ("1 day", "95.12 %", "94.00 to 96.00", "98.00 %", "So far."):
        assert part in told


def test_long_tables_are_cut_and_say_so():
    assert "and 10 more rows" in Results(RESULTS)._repr_html_()


def test_a_bar_says_how_far_it_is():
    told = html.bar(0.376, "evaluating chips")
    assert 'aria-valuenow="38"' in told
    assert "38 % evaluating chips" in told
    assert "100 %" in html.bar(1.7, "")


def test_no_interval_of_an_accuracy_goes_beyond_all():
    point = {**POINT, "ci95": [0.9, 1.07]}
    results = {**RESULTS, "series": [{"variant": "direct", "points": [point]}]}
    assert "90.00 to 100.00" in html.results(Results(results))
