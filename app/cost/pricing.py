"""What an inference costs on a chip, for a model's report, a configuration and a profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from app.kit.problems import Fault
from simulator.config import InferenceRPUConfig, LayerRules
from simulator.cost import (
    Activity,
    BitsNotPricedError,
    estimate,
    estimate_json,
    misfit_warning,
    network_of,
    resolve_hardware,
)


def cost_of(
    report: Mapping[str, Any],
    config: InferenceRPUConfig,
    rules: LayerRules,
    hardware: Any,
    activity: Mapping[str, Activity] | None = None,
) -> dict[str, Any]:
    """Return what an inference costs, as the API answers it.

    Args:
        report: of the model.
        config: decides tiles, bits and passes.
        rules: which layers stay digital, and which have a configuration of their own.
        hardware: a profile, or the name of one with overrides; it was found to be valid.
        activity: what a job measured, by layer.

    Raises:
        BitsNotPricedError: the profile has no price for the bits of a layer.
        pydantic.ValidationError: a rule's override does not fit, or the hardware is not valid after all.
    """
    profile = resolve_hardware(hardware)
    network = network_of(report, config, rules, profile)
    found = estimate_json(estimate(network, profile, activity))
    warning = misfit_warning(network, profile)
    return {**found, "warnings": [] if warning is None else [asdict(warning)]}


def not_priced(error: BitsNotPricedError, where: str = "/hardware") -> Fault:
    """Return the fault of bits that a profile has no price for."""
    return Fault(
        pointer=where,
        code="bits_not_priced",
        message=str(error),
        hint="give the table more rows, or set its `outside` to `extrapolate`, or change inp_res or out_res",
    )
