from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from driftline import InvalidInput
from driftline.core.plain import plain
from driftline.resources.record import Record


def test_what_notebooks_hold_becomes_json():
    value = {"a": np.float32(0.5), "b": np.arange(3), "c": (1, {2}), "d": Record({"e": None}), "f": range(2)}
    assert plain(value) == {"a": 0.5, "b": [0, 1, 2], "c": [1, [2]], "d": {"e": None}, "f": [0, 1]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan"), Path("x"), b"x", object()])
def test_what_has_no_form_in_json_is_told_with_its_place(value):
    with pytest.raises(InvalidInput, match=r"^/a/1: "):
        plain({"a": [0, value]})
