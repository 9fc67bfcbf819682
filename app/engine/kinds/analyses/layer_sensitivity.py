"""Layer sensitivity: each layer by itself, then the smallest set to keep digital, found by bisection.

Layers are ranked by what keeping them digital wins for each device that the tiles lose. Along the ranking,
sets grow by a layer each; the smallest that brings the loss under the target is found by evaluating some of
them, one a round, and so the one that is suggested has been evaluated itself.
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


@dataclass(frozen=True)
class Search:
    """How far the search for layers to keep digital is.

    Attributes:
        ranking: layers, those first that win most for each device.
        fails: the largest number of first layers that is known not to be enough; -1 where none is.
        reaches: the smallest number that is known to be enough; that of all layers where none is known.
        guess: how many are expected to be enough.
    """

    ranking: tuple[str, ...]
    fails: int
    reaches: int
    guess: int

    @property
    def is_over(self) -> bool:
        """Whether the smallest number is known."""
        return self.reaches - self.fails <= 1

    @property
    def next(self) -> tuple[str, ...]:
        """The layers to keep digital in the next evaluation."""
        near: tuple[int, ...] = (self.guess, self.guess - 1, self.guess + 1)
        if self.fails >= self.guess + 1 or self.reaches <= self.guess - 1:
            near = ()
        halves = (self.fails + self.reaches) // 2
        count = next((one for one in near if self.fails < one < self.reaches), halves)
        return self.ranking[:count]


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
    if state is None or state.is_over:
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
    left, guess = total, 0
    while left > target and guess < len(ranking):
        left -= wins[ranking[guess]]
        guess += 1
    return Search(ranking, fails, reaches, guess)


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
