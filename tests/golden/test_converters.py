from __future__ import annotations

import pytest

from tests.golden.common import case_id, cases_of
from tests.golden.converters import check


@pytest.mark.parametrize(("case", "arrays"), cases_of("converter"), ids=case_id)
def test_converter_as_the_reference_or_as_decided(case, arrays):
    verdict = check(case, arrays)
    assert verdict.ok, str(verdict)
