"""A profile is strict: every fault is found, and has its place."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from simulator.cost import BitsNotPricedError, HardwareProfile, peak, profile_schema, resolve_hardware
from simulator.cost.prices import EnergyPrice, Table

PRICE = {"value": 10, "unit": "pJ", "source": "a paper", "factor": 1.5}
SMALL = {
    "name": "small",
    "node_nm": 32,
    "array": {"rows": 4, "columns": 4},
    "energy": {"tile": {"each": "array", "times": "pass", "price": PRICE}},
    "time": {
        "tile": {"times": "pass", "price": {"value": 1, "unit": "us", "source": "a paper", "factor": 1}}
    },
}


def changed(path: str, value: object) -> dict:
    profile = json.loads(json.dumps(SMALL))
    *parents, last = path.split("/")
    owner = profile
    for key in parents:
        owner = owner.setdefault(key, {})
    if value is None:
        del owner[last]
    else:
        owner[last] = value
    return profile


def faults_of(spec: object) -> dict[str, str]:
    """Return code by place, without the names of the members of unions."""
    with pytest.raises(ValidationError) as caught:
        resolve_hardware(spec)
    tags = {"given", "fitted", "computed"}
    return {
        "/".join(str(part) for part in line["loc"] if part not in tags): line["type"]
        for line in caught.value.errors(include_url=False)
    }


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("energy/tile/price/unit", "pj", "unknown_unit"),
        ("energy/tile/price/unit", "uW", "unknown_unit"),
        ("time/tile/price/unit", "pJ", "unknown_unit"),
        ("energy/tile/price/value", -1, "greater_than_equal"),
        ("energy/tile/price/source", None, "missing"),
        ("energy/tile/price/source", "", "string_too_short"),
        ("energy/tile/price/factor", 0.5, "greater_than_equal"),
        ("energy/tile/price/factor", None, "missing"),
        ("energy/tile/each", "tile", "enum"),
        ("energy/tile/times", "sometimes", "enum"),
        ("array/rows", 0, "greater_than_equal"),
        ("node_nm", 3, "greater_than_equal"),
        ("schedule/copies", 0, "greater_than_equal"),
    ],
)
def test_a_faulty_field_is_refused_where_it_stands(path, value, code):
    assert faults_of(changed(path, value)) == {path: code}


def test_an_unknown_field_names_the_nearest_known_one():
    with pytest.raises(ValidationError, match="did you mean 'factor'"):
        HardwareProfile.model_validate(changed("energy/tile/price/facter", 2))


def test_all_faults_are_told_at_once():
    profile = changed("energy/tile/price/unit", "joule")
    profile["energy"]["tile"]["price"]["value"] = -3
    profile["time"]["tile"]["price"]["source"] = ""
    assert set(faults_of(profile)) == {
        "energy/tile/price/unit",
        "energy/tile/price/value",
        "time/tile/price/source",
    }


def test_a_price_has_a_value_or_a_table():
    assert faults_of(changed("energy/tile/price/value", None)) == {"energy/tile/price": "one_value"}


def test_an_unknown_profile_names_those_that_ship():
    with pytest.raises(ValidationError, match="did you mean 'ISAAC32nm'"):
        resolve_hardware({"profile": "ISAAC"})


def test_faults_of_overrides_stand_among_the_overrides():
    spec = {"profile": "ISAAC32nm", "overrides": {"energy": {"dac": {"price": {"value": -1}}}}}
    assert faults_of(spec) == {"overrides/energy/dac/price/value": "greater_than_equal"}


def test_a_new_component_without_a_source_is_refused_among_the_overrides():
    price = {"value": 1, "unit": "pJ", "factor": 2}
    spec = {"profile": "ISAAC32nm", "overrides": {"energy": {"mine": {"each": "array", "price": price}}}}
    assert faults_of(spec) == {"overrides/energy/mine/price/source": "missing"}


def test_a_number_that_a_client_gives_no_longer_has_the_published_source():
    overrides = {"energy": {"dac": {"price": {"value": 0.1}}}}
    profile = resolve_hardware({"profile": "ISAAC32nm", "overrides": overrides})
    assert profile.energy["dac"].price.source == "given in the request"
    assert profile.energy["cells"].price.source.startswith("Shafiee")


def test_a_value_takes_the_place_of_a_fit_as_a_whole():
    overrides = {"energy": {"adc": {"price": {"value": 2, "unit": "pJ", "factor": 1.2}}}}
    price = resolve_hardware({"profile": "Generic28nm", "overrides": overrides}).energy["adc"].price
    assert isinstance(price, EnergyPrice)
    assert (price.value, price.unit, price.source) == (2, "pJ", "given in the request")


def test_null_takes_a_component_away():
    profile = resolve_hardware({"profile": "ISAAC32nm", "overrides": {"energy": {"router": None}}})
    assert "router" not in profile.energy


def test_bits_outside_a_table_are_refused_or_made_up_with_a_factor_of_three():
    table = {"by": "output_bits", "values": {"4": 1.0, "6": 4.0, "8": 16.0}}
    price = {"unit": "pJ", "source": "a paper", "factor": 1.5}
    strict = EnergyPrice.model_validate({**price, "table": table})
    with pytest.raises(BitsNotPricedError, match="no price for 9 output_bits"):
        strict.band(8, 9)
    loose = EnergyPrice.model_validate({**price, "table": {**table, "outside": "extrapolate"}})
    band, made_up = loose.band(8, 10)
    assert made_up
    assert band.nominal == pytest.approx(64e-12)
    assert band.high / band.nominal == pytest.approx(3)
    assert loose.band(8, 5)[0].nominal == pytest.approx(2e-12)
    assert loose.band(8, 3)[0].nominal == pytest.approx(0.5e-12)
    assert loose.band(8, 4)[0].high == pytest.approx(1.5e-12)


def test_a_table_of_one_row_goes_on_as_it_is():
    table = Table.model_validate({"by": "output_bits", "values": {"4": 1.0}, "outside": "extrapolate"})
    assert table.at(9) == (1.0, True)


def test_a_weight_that_needs_more_cells_than_a_row_has_is_refused():
    assert faults_of(changed("array/columns_per_weight", 5)) == {"array": "no_weight_fits"}


def test_static_power_of_the_chip_is_shared_by_its_arrays_at_its_peak():
    profile = changed("static_power/clock", {"each": "chip", "price": {**PRICE, "value": 1, "unit": "uW"}})
    profile["array"]["arrays"] = 2
    found = peak(HardwareProfile.model_validate(profile))
    assert found.energy_j.nominal == pytest.approx(10e-12 + 1e-6 * 1e-6 / 2)


def test_the_schema_says_what_every_field_means():
    def without_description(node, path=""):
        for name, field in node.get("properties", {}).items():
            if "description" not in field:
                yield f"{path}/{name}"

    schema = profile_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    parts = [schema, *schema["$defs"].values()]
    assert [path for part in parts for path in without_description(part, part["title"])] == []
