"""What a configuration differs in from the one that it was made from."""

from __future__ import annotations

from app.configs.difference import base_of, changes, presets
from simulator.config import effective, resolve


def config(**overrides):
    return effective(resolve({"preset": "HermesPreset", "overrides": overrides}))


def test_changes_name_the_fields_that_differ():
    [change] = changes(presets()["HermesPreset"], config(forward={"out_noise": 0.5}))
    assert (change.pointer, change.before, change.after) == ("/forward/out_noise", 0.02, 0.5)
    assert changes(presets()["HermesPreset"], config()) == []


def test_a_field_that_one_side_lacks_is_a_change():
    [found] = changes({"a": {"b": 1}}, {"a": {"c": 1}})[:1]
    assert (found.pointer, found.before, found.after) == ("/a/b", 1, None)


def test_the_base_is_what_was_named(database):
    with database.reading() as session:
        base = base_of({"preset": "PCMExamplePreset"}, config(), session)
    assert (base.name, base.is_named) == ("PCMExamplePreset", True)


def test_without_a_name_the_base_is_the_nearest_preset(database):
    with database.reading() as session:
        base = base_of(config(), config(forward={"out_noise": 0.5}), session)
    assert (base.name, base.is_named) == ("HermesPreset", False)


def test_a_stored_configuration_that_is_gone_is_no_base(database):
    with database.reading() as session:
        assert not base_of({"stored": "gone"}, config(), session).is_named
