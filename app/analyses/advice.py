"""Advice as clients read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from app.analyses.asked import Asked
from app.analyses.estimates import difference
from app.analyses.schemas import (
    AdviceRowView,
    AdviceView,
    AdvisedView,
    ConverterView,
    EstimateView,
    TogetherView,
)
from app.engine.kinds.analyses.advice import gain, observed
from simulator.config import Variant
from simulator.config.analyses import Advice
from simulator.config.analyses.advice import setting_of, suggestion_of

_PREFERRED = (Variant.HWA, Variant.DIRECT, Variant.CONTROL)


def view(asked: Asked) -> AdviceView:
    """Return the answer, as far as it is known."""
    advice = cast("Advice", asked.analysis)
    seen: dict[str, Mapping[str, Any]] = {}
    for variant in advice.variants_of(asked.subject.spec):
        found = observed(advice, asked.subject, variant, asked.measured)
        if found is not None:
            seen[variant.value] = found
    [t_inference_s] = advice.times_s(asked.subject.spec)
    answer = AdviceView(
        **asked.common(),
        verify=advice.verify,
        rows=[row for variant in seen for row in _rows(asked, variant, t_inference_s, seen[variant])],
        together={one: _together(asked, one, t_inference_s, seen[one]) for one in seen},
        converters=[
            ConverterView.model_validate({"variant": variant, **one})
            for variant, found in seen.items()
            for one in found["converters"]
        ],
        suggestion=None,
    )
    preferred = next((one.value for one in _PREFERRED if one.value in seen), None)
    if preferred is not None and seen[preferred]["changes"]:
        told = suggestion_of(asked.rpu_config, asked.layers, seen[preferred]["changes"])
        answer.suggestion = AdvisedView.model_validate(told)
    answer.notes += _notes(advice, seen, preferred)
    return answer


def _rows(
    asked: Asked, variant: str, t_inference_s: float, seen: Mapping[str, Any]
) -> Iterator[AdviceRowView]:
    for one in seen["changes"]:
        verified = None
        if one["layer"] is None:
            verified = _verified(asked, variant, t_inference_s, setting_of([one]).key)
        yield AdviceRowView.model_validate(
            {
                "variant": variant,
                "t_inference": t_inference_s,
                "layer": one["layer"],
                "field": one["field"],
                "from": one["from"],
                "to": one["to"],
                "expected_gain": gain(asked.measured, one["metric_change"]),
                "expected_gain_db": one["snr_gain_db"],
                "verified_gain": verified,
            }
        )


def _together(asked: Asked, variant: str, t_inference_s: float, seen: Mapping[str, Any]) -> TogetherView:
    key = setting_of(seen["changes"]).key
    return TogetherView(
        expected_gain=gain(asked.measured, seen["together"]["metric_change"]),
        expected_gain_db=seen["together"]["snr_gain_db"],
        snr_db=seen["base"]["snr_db"],
        samples=seen["samples"],
        verified_gain=_verified(asked, variant, t_inference_s, key),
    )


def _verified(asked: Asked, variant: str, t_inference_s: float, key: str) -> EstimateView | None:
    """Return what a change wins on the test set: the job's loss less that with the change, chip by chip."""
    if key not in asked.measured.coordinates:
        return None
    return difference(asked.losses([None, key], variant, t_inference_s))


def _notes(advice: Advice, seen: Mapping[str, Mapping[str, Any]], preferred: str | None) -> list[str]:
    notes = [
        "Expected gains rest on training batches and one chip; verified ones on the test set and all chips."
    ]
    if not advice.verify and any(one["changes"] for one in seen.values()):
        notes.append('Nothing was verified: ask with "verify": true.')
    for variant, one in seen.items():
        if not one["changes"]:
            notes.append(f"For {variant}, no change that was tried wins half a decibel.")
    if len(seen) > 1:
        notes.append(f"The suggestion is that of {preferred}; a job has one configuration for all variants.")
    if Variant.HWA in seen:
        notes.append("hwa is tried as the job trained it; a job with the suggestion trains under it.")
    return notes
