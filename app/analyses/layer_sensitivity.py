"""Layer sensitivity as clients read it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

from app.analyses.asked import Asked
from app.analyses.estimates import column, estimate
from app.analyses.schemas import (
    DigitalLayersView,
    EstimateView,
    LayerSensitivityView,
    LayerSuggestionView,
    SensitivityRowView,
)
from app.engine.kinds.analyses.layer_sensitivity import search, settings_of
from simulator.config import Variant
from simulator.config.analyses import LayerSensitivity
from simulator.config.analyses.layer_sensitivity import SNR, SensitivityMode, setting_of


def view(asked: Asked) -> LayerSensitivityView:
    """Return the answer, as far as it is known."""
    sensitivity = cast("LayerSensitivity", asked.analysis)
    suggestion = {
        variant.value: found
        for variant in sensitivity.variants_of(asked.subject.spec)
        if (found := _suggestion(asked, sensitivity, variant)) is not None
    }
    answer = LayerSensitivityView(
        **asked.common(),
        mode=sensitivity.mode,
        target_drop=sensitivity.target_drop,
        rows=[row for variant, t in asked.points() for row in _rows(asked, sensitivity, variant, t)],
        suggestion=suggestion,
    )
    answer.notes += _notes(asked, answer)
    return answer


def _rows(
    asked: Asked, sensitivity: LayerSensitivity, variant: str, t_inference_s: float
) -> Iterator[SensitivityRowView]:
    subject = asked.subject
    snr = asked.measured.seen.get((SNR.key, (variant, t_inference_s, 0)), {}).get("snr_db", {})
    devices, macs = sum(subject.devices.values()), sum(subject.macs.values())
    for name in subject.layers:
        for mode, setting in settings_of(sensitivity, subject, name).items():
            key = None if setting is None else setting.key
            rows = asked.losses([key], variant, t_inference_s)
            both = asked.losses([None, key], variant, t_inference_s)
            won = None if both is None else [total - loss for total, loss in both]
            yield SensitivityRowView(
                variant=variant,
                t_inference=t_inference_s,
                layer=name,
                mode=mode,
                loss=estimate(column(rows, 0)),
                won_back=estimate(won) if mode is SensitivityMode.ONE_DIGITAL else None,
                snr_db=_worst(snr, name),
                devices_share=subject.devices[name] / devices,
                macs_share=subject.macs[name] / macs,
            )


def _worst(snr_db: dict[str, Any], name: str) -> float | None:
    """Return the worst ratio of a layer's matrices; a layer of several has names below its own."""
    found = [value for key, value in snr_db.items() if key == name or key.startswith(f"{name}.")]
    known = [math.inf if value == "inf" else float(value) for value in found if value is not None]
    worst = min(known, default=None)
    return None if worst == math.inf else worst


def _suggestion(asked: Asked, sensitivity: LayerSensitivity, variant: Variant) -> LayerSuggestionView | None:
    """Return the layers to keep digital once the search is over."""
    subject = asked.subject
    state = search(sensitivity, subject, variant, asked.measured)
    if state is None or sensitivity.target_drop is None or not (state.is_over or asked.complete):
        return None
    digital = sorted(state.digital, key=list(subject.layers).index)
    is_all = len(digital) == len(subject.layers)
    loss: EstimateView | None = None
    if not is_all:
        setting = setting_of(digital, list(subject.layers)).key if digital else None
        found = [
            estimate(column(asked.losses([setting], variant.value, t), 0))
            for t in sensitivity.times_s(subject.spec)
        ]
        loss = max((one for one in found if one is not None), key=lambda one: one.mean or 0.0)
    kept = (*subject.spec.rules.digital, *digital)
    return LayerSuggestionView(
        layers=None if is_all else DigitalLayersView(digital=list(kept)),
        added=digital,
        devices_share=sum(subject.devices[name] for name in digital) / sum(subject.devices.values()),
        loss=loss,
        verified=not is_all,
        target_drop=sensitivity.target_drop,
    )


def _notes(asked: Asked, answer: LayerSensitivityView) -> list[str]:
    notes = []
    for variant, one in answer.suggestion.items():
        if one.layers is None:
            notes.append(
                f"No set of layers that was evaluated with one left on tiles brings {variant} to a loss of "
                f"{one.target_drop:g}."
            )
    if any("hwa" in total.variant for total in answer.totals):
        notes.append(
            "hwa is as the job trained it, with all its layers under noise; a job with these layers "
            "digital trains otherwise."
        )
    if not asked.complete and answer.target_drop is not None:
        notes.append("The suggestion comes when its sets of layers have been evaluated, a round each.")
    return notes
