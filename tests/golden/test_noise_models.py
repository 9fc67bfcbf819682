from __future__ import annotations

import pytest

from tests.golden.common import case_id, cases_of
from tests.golden.noise_models import check


@pytest.mark.slow
@pytest.mark.parametrize(("case", "arrays"), cases_of("noise_model"), ids=case_id)
def test_noise_model_as_the_reference_or_as_decided(case, arrays):
    verdict = check(case, arrays)
    assert verdict.ok, str(verdict)
