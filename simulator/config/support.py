"""Combinations of fields that the simulator cannot do: they are refused, never silently ignored.

Every field of the configuration works by itself with every value that validates.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.config.enums import BoundManagementType, NoiseManagementType
from simulator.config.faults import Fault
from simulator.config.rpu import InferenceRPUConfig


def _clipping_is_managed_without_a_fixed_bound(config: InferenceRPUConfig) -> bool:
    input_range, forward = config.pre_post.input_range, config.forward
    fixed = (
        forward.noise_management in (NoiseManagementType.NONE, NoiseManagementType.CONSTANT)
        and forward.bound_management is BoundManagementType.NONE
        and forward.out_bound > 0
    )
    return input_range.enable and input_range.manage_output_clipping and not fixed


# Where it is said, when it holds, what is said.
IMPOSSIBLE: tuple[tuple[str, Callable[[InferenceRPUConfig], bool], str], ...] = (
    (
        "/pre_post/input_range/manage_output_clipping",
        _clipping_is_managed_without_a_fixed_bound,
        (
            "manage_output_clipping needs a fixed output bound: set forward.noise_management to None or "
            "Constant, forward.bound_management to None and forward.out_bound > 0"
        ),
    ),
)


def unsupported(config: InferenceRPUConfig) -> list[Fault]:
    """Return every combination of fields whose physics the simulator does not do."""
    return [
        Fault(pointer, "not_yet_supported", message)
        for pointer, impossible, message in IMPOSSIBLE
        if impossible(config)
    ]
