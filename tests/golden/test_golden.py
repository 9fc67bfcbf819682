from __future__ import annotations

import pytest

from tests.golden.common import case_id, cases_of
from tests.golden.kinds import CHECKS

ELSEWHERE = ("converter", "noise_model")  # their own test modules run these


@pytest.mark.parametrize(
    ("case", "arrays"), cases_of(*(kind for kind in CHECKS if kind not in ELSEWHERE)), ids=case_id
)
def test_case_is_as_the_reference_or_as_decided(case, arrays):
    verdict = CHECKS[case["kind"]](case, arrays)
    assert verdict.ok, str(verdict)
