"""Energies, times and areas in words."""

from __future__ import annotations

import pytest

from driftline.quantities import band, overlap, quantity


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (148e-6, "J", "148 µJ"),
        (13.4e-9, "J", "13.4 nJ"),
        (0.9996e-3, "s", "1 ms"),
        (999.4e-6, "s", "999 µs"),
        (1.5, "s", "1.5 s"),
        (0, "J", "0 J"),
        (2.5e-21, "J", "0.0025 aJ"),
        (0.0123, "mm²", "0.0123 mm²"),
        (63.07, "TOPS", "63.1 TOPS"),
    ],
)
def test_a_value_has_three_digits_and_a_prefix(value, unit, said):
    assert quantity(value, unit) == said


def test_a_band_is_told_in_one_unit():
    assert band({"low": 99e-6, "nominal": 148e-6, "high": 1.2e-3}, "J") == "148 µJ (99 to 1,200)"


def test_bands_overlap_where_they_share_a_value():
    one = {"low": 1.0, "nominal": 2.0, "high": 3.0}
    assert overlap(one, {"low": 3.0, "nominal": 4.0, "high": 5.0})
    assert not overlap(one, {"low": 3.1, "nominal": 4.0, "high": 5.0})
