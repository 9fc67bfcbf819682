from __future__ import annotations

from pathlib import Path

from simulator.onnx import limits
from simulator.onnx.operator_table import operator_table
from simulator.onnx.recognise import RECOGNISERS
from simulator.onnx.supported import SUPPORTED

PAGE = Path(__file__).parents[4] / "docs" / "onnx.md"


def test_the_page_lists_the_operators_as_they_are():
    """Anew: everything after "## Operators" is `python -m simulator.onnx operators`."""
    assert operator_table() in PAGE.read_text("utf-8")


def test_the_page_tells_every_code():
    codes = [value for name, value in vars(limits).items() if name.isupper() and isinstance(value, str)]
    assert all(f"`{code}`" in PAGE.read_text("utf-8") for code in codes)


def test_every_recognised_operator_is_supported():
    assert RECOGNISERS.keys() <= SUPPORTED
