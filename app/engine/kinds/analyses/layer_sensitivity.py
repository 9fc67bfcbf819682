"""Layer sensitivity: each layer by itself, then a small set to keep digital, found greedily.

Layers are ranked by what keeping them digital wins for each device that the tiles lose. Along the ranking,
sets grow by a layer each; the smallest that brings the loss under the target is found by bisection. From it
layers go back to the tiles, large ones first, while the target holds. Each set is evaluated in a round of
its own, and so the one that is suggested has been evaluated itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.engine.kinds.analyses.losses import Measured
from app.engine.kinds.analyses.subject import Subject
from simulator.config import Variant
from simulator.config.analyses import LayerSensitivity, Setting
from simulator.config.analyses.layer_sensitivity import SNR, SensitivityMode, setting_of

_MOST_TRIALS = 8  # of layers that may go back to the tiles


@dataclass(frozen=True)
class Search:
    """How far the search for layers to keep digital is.

    Attributes:
        ranking: layers, those first that win most for each device.
        fails: the largest number of first layers that is known not to be enough; -1 where none is.
        reaches: the smallest number that is known to be enough; that of all layers where none is known.
        digital: the smallest set by now that is known to be enough; all layers where none is known.
        next: the set to evaluate next; None where the search is over.
    """

    ranking: tuple[str, ...]
    fails: int
    reaches: int
    digital: tuple[str, ...]
    next: tuple[str, ...] | None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to evaluate."""
        return self.next is None


def first(sensitivity: LayerSensitivity, subject: Subject, variant: Variant) -> Sequence[Setting]:
    """Return each layer's evaluations, without those that are the job's own or all digital."""
    del variant
    settings = {SNR.key: SNR}
    for name in subject.layers:
        for setting in settings_of(sensitivity, subject, name).values():
            if setting is not None:
                settings[setting.key] = setting
    return list(settings.values())


def settings_of(
    sensitivity: LayerSensitivity, subject: Subject, layer: str
) -> Mapping[SensitivityMode, Setting | None]:
    """Return a layer's evaluations by mode; None is the job's own. What would be all digital is left out."""
    layers, found = list(subject.layers), {}
    if sensitivity.mode is not SensitivityMode.ONE_DIGITAL:
        others = [one for one in layers if one != layer]
        found[SensitivityMode.ONE_ANALOG] = setting_of(others, layers) if others else None
    if sensitivity.mode is not SensitivityMode.ONE_ANALOG and len(layers) > 1:
        found[SensitivityMode.ONE_DIGITAL] = setting_of([layer], layers)
    return found


def further(
    sensitivity: LayerSensitivity, subject: Subject, variant: Variant, measured: Measured
) -> Sequence[Setting]:
    """Return the next evaluation of the search; none ends it."""
    state = search(sensitivity, subject, variant, measured)
    if state is None or state.next is None:
        return ()
    return [setting_of(state.next, list(subject.layers))]


def search(
    sensitivity: LayerSensitivity, subject: Subject, variant: Variant, measured: Measured
) -> Search | None:
    """Return how far the search is; None without a target, or where a loss is not finite or not there."""
    target = sensitivity.target_drop
    total = _mean(sensitivity, subject, variant, measured, None)
    if target is None or total is None or len(subject.layers) == 0:
        return None
    gains = {
        name: _gain(sensitivity, subject, variant, measured, layer=name, total=total)
        for name in subject.layers
    }
    if any(gain is None for gain in gains.values()):
        return None
    wins = {name: gain or 0.0 for name, gain in gains.items()}
    ranking = tuple(sorted(wins, key=lambda name: (-wins[name] / max(1, subject.devices[name]), name)))
    reaches, fails = len(ranking), -1
    for count in range(len(ranking)):
        setting = None if count == 0 else setting_of(ranking[:count], list(subject.layers))
        loss = _mean(sensitivity, subject, variant, measured, setting)
        if loss is None:
            continue
        if loss <= target:
            reaches = count
            break
        fails = count
    digital, trial = ranking[:reaches], None
    if reaches - fails > 1:
        trial = ranking[: _between(fails, reaches, _guess(ranking, wins, total, target))]
    else:
        for layer in _dispensable(sensitivity, subject, variant, measured, digital=digital):
            fewer = tuple(one for one in digital if one != layer)
            loss = _mean(sensitivity, subject, variant, measured, setting_of(fewer, list(subject.layers)))
            if loss is None:
                trial = fewer
                break
            if loss <= target:
                digital = fewer
    return Search(ranking, fails, reaches, digital, trial)


def _guess(ranking: Sequence[str], wins: Mapping[str, float], total: float, target: float) -> int:
    """Return how many first layers are enough where what they win adds up."""
    left, count = total, 0
    while left > target and count < len(ranking):
        left -= wins[ranking[count]]
        count += 1
    return count


def _between(fails: int, reaches: int, guess: int) -> int:
    """Return the number to evaluate next: the guess and its neighbours first, then halves."""
    near: tuple[int, ...] = (guess, guess - 1, guess + 1)
    if fails >= guess + 1 or reaches <= guess - 1:
        near = ()
    return next((one for one in near if fails < one < reaches), (fails + reaches) // 2)


def _dispensable(
    sensitivity: LayerSensitivity,
    subject: Subject,
    variant: Variant,
    measured: Measured,
    *,
    digital: Sequence[str],
) -> list[str]:
    """Return the layers of a set that may go back to the tiles, large ones first.

    One that alone costs more than the target does not; of the others, those that free most devices are tried.
    """
    target = sensitivity.target_drop or 0.0
    if len(digital) < 2:  # without any, it is the job's own network, which is known
        return []

    def is_cheap(layer: str) -> bool:
        alone = settings_of(sensitivity, subject, layer).get(SensitivityMode.ONE_ANALOG)
        loss = _mean(sensitivity, subject, variant, measured, alone) if alone is not None else None
        return loss is None or loss <= target

    cheap = [layer for layer in digital if is_cheap(layer)]
    return sorted(cheap, key=lambda name: (-subject.devices[name], name))[:_MOST_TRIALS]


def _gain(
    sensitivity: LayerSensitivity,
    subject: Subject,
    variant: Variant,
    measured: Measured,
    *,
    layer: str,
    total: float,
) -> float | None:
    """Return what a layer costs: alone, and won back without it, whichever was asked for; else their mean."""
    found = []
    for mode, setting in settings_of(sensitivity, subject, layer).items():
        loss = _mean(sensitivity, subject, variant, measured, setting)
        if loss is None:
            return None
        found.append(loss if mode is SensitivityMode.ONE_ANALOG else total - loss)
    return math.fsum(found) / len(found) if found else 0.0


def _mean(
    sensitivity: LayerSensitivity,
    subject: Subject,
    variant: Variant,
    measured: Measured,
    setting: Setting | None,
) -> float | None:
    """Return the mean loss over chips under a setting, at the worst of the asked times."""
    worst: float | None = None
    chips = sensitivity.chips_of(subject.spec)
    for t_inference_s in sensitivity.times_s(subject.spec):
        key = None if setting is None else setting.key
        rows = measured.losses([key], variant.value, t_inference_s, chips)
        if rows is None or len(rows) < chips:
            return None
        mean = math.fsum(row[0] for row in rows) / chips
        worst = mean if worst is None else max(worst, mean)
    return worst
