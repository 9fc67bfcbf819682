"""The guide to jobs says what is true: its examples are accepted, and it has every field."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.jobs.schemas import JobCreate, JobExtend
from simulator.config import CalibrationSpec, EvaluateSpec, FinetuneSpec

PAGE = (Path(__file__).parents[4] / "docs" / "jobs.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)]
SMALLEST, *MORE = EXAMPLES
EXTENSION = MORE.pop()


@pytest.mark.parametrize("example", [{}, *MORE], ids=str)
def test_an_example_is_a_job(example):
    JobCreate.model_validate_json(json.dumps({**SMALLEST, **example}))


def test_the_example_of_an_extension_is_one():
    JobExtend.model_validate_json(json.dumps(EXTENSION))


@pytest.mark.parametrize("part", [JobCreate, EvaluateSpec, FinetuneSpec, CalibrationSpec])
def test_every_field_is_described(part):
    assert [name for name in part.model_fields if f"`{name}`" not in PAGE] == []
