"""What aihwkit is timed with is what we are timed with."""

from __future__ import annotations

from benchmarks.reference import with_fields_of
from simulator.config import InferenceRPUConfig, preset


def test_every_field_that_we_set_is_set_in_the_other_configuration():
    ours = preset("PCMExamplePreset")
    theirs = with_fields_of(ours, InferenceRPUConfig())
    assert theirs.mapping.weight_scaling_omega == 1.0
    assert (theirs.forward, theirs.mapping, theirs.pre_post) == (ours.forward, ours.mapping, ours.pre_post)
