"""A job's result in words: the sentences of its page, its report and `/v1/jobs/{id}/summary`.

Every number in them comes from `app.results.statistics` and `app.results.lifetime`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from app.results.lifetime import Censored, Life
from app.results.services import between_times, came_back, in_service
from app.results.statistics import wilson95
from app.results.thresholds import Threshold
from driftline.quantities import band
from driftline.times import DAY_S, MONTH_S, in_words
from simulator.config import Variant
from simulator.config.tasks import DEFAULT_DROP, DEFAULT_FACTOR, Metric

FEWEST_CHIPS_FOR_A_SHARE: Final = 10
_WITH = {
    Variant.DIRECT: "",
    Variant.HWA: " with HWA fine-tuning",
    Variant.CONTROL: " with noise-free fine-tuning",
}
_METRIC_WORDS = {Metric.ACCURACY: "", Metric.MSE: "mean squared error ", Metric.PERPLEXITY: "perplexity "}


@dataclass(frozen=True)
class Found:
    """What a job has found so far.

    Attributes:
        answer: results as JSON has them, without cells.
        threshold: that chips have to hold; None where there is none.
        lives: how long chips hold it, by variant.
        state: the job's.
        cells_done: cells that are there.
        cells_total: cells that the job asks for.
        classes: among which the network chooses; None where it does not, or where they are not known.
        cost: of an inference, as the API answers it; None where the job names no hardware.
    """

    answer: Mapping[str, Any]
    threshold: Threshold | None
    lives: Sequence[Life]
    state: str
    cells_done: int
    cells_total: int
    classes: int | None = None
    cost: Mapping[str, Any] | None = None

    @property
    def metric(self) -> Metric:
        """What the job is judged by."""
        return Metric(self.answer["metric"])

    @property
    def times_s(self) -> list[float]:
        """All evaluated times, rising."""
        return sorted({point["t_inference"] for one in self.answer["series"] for point in one["points"]})


@dataclass(frozen=True)
class Summary:
    """A job's result in words.

    Attributes:
        headline: the sentences that matter most, as one text.
        sentences: all of them, those of the headline first.
        facts: the numbers in them.
    """

    headline: str
    sentences: list[str]
    facts: dict[str, Any]


def summarise(found: Found) -> Summary:
    """Say in words what a job has found."""
    facts: dict[str, Any] = {
        "metric": found.metric,
        "digital": found.answer["baseline"].get(Variant.DIGITAL, {}).get(found.metric),
        "threshold": None if found.threshold is None else found.threshold.value,
        "times": [],
        "time_to_threshold": [
            {"variant": one.variant, **asdict(one.time_to_threshold_s)} for one in found.lives
        ],
        "holding": None,
        "available": None,
        "cost": None,
    }
    main = [_digital(found, facts)]
    if (guess := _near_chance(found)) is not None:
        main.append(guess)
    if (served := in_service(found.answer)) is not None:
        main.append(served)
    more = []
    if found.times_s:
        chosen = _nearest(found.times_s, DAY_S)
        main.append(_at(found, chosen, facts, with_interval=True))
        if found.threshold is not None and found.lives:
            main.append(_holding(found, found.threshold, facts))
        last = found.times_s[-1]
        if last != chosen:
            more.append(_at(found, last, facts, with_interval=False))
        more += _cautions(found) + _waves(found)
        if found.lives:
            more += came_back(max(found.lives, key=_preference))
        if (unseen := between_times(found.answer)) is not None:
            more.append(unseen)
    if found.cost is not None:
        more.append(_cost(found.cost, facts))
    main += _unfinished(found)
    return Summary(" ".join(main), main + more, facts)


def _digital(found: Found, facts: Mapping[str, Any]) -> str:
    if facts["digital"] is None:
        return f"The digital {_METRIC_WORDS[found.metric] or 'accuracy '}is not known."
    return f"Digital {_METRIC_WORDS[found.metric]}{_value(found.metric, facts['digital'])}."


def _near_chance(found: Found) -> str | None:
    """Say that the network does not do its task, where the digital accuracy may be that of guessing."""
    baseline = found.answer["baseline"].get(Variant.DIGITAL, {})
    correct, total = baseline.get("correct"), baseline.get("total")
    if found.metric is not Metric.ACCURACY or not found.classes or correct is None or not total:
        return None
    low, _ = wilson95(correct, total)
    guess = 1 / found.classes
    if low > guess:
        return None
    if correct / total > (1 + guess) / 2:  # as right as a network may be, on samples that are too few
        samples = "One sample is" if total == 1 else f"{total} samples are"
        return f"{samples} too few to tell that from guessing among {found.classes} classes."
    return (
        f"That is hardly better than guessing among {found.classes} classes, so the rest says nothing of the"
        " hardware: check the dataset, its scale, and the order of the classes."
    )


def _at(found: Found, time_s: float, facts: dict[str, Any], *, with_interval: bool) -> str:
    """Say what the variants reach at a time."""
    shown: list[str] = []
    values: dict[str, Any] = {}
    for one in found.answer["series"]:
        point = next((point for point in one["points"] if point["t_inference"] == time_s), None)
        if point is None:
            continue
        values[one["variant"]] = {name: point[name] for name in ("mean", "ci95", "ci95_adaptive", "repeats")}
        words = _value(found.metric, point["mean"]) + _WITH[Variant(one["variant"])]
        if with_interval and not shown:
            words += _spread(found.metric, point)
        shown.append(words)
    facts["times"].append({"t_inference": time_s, "variants": values})
    return f"{_after_programming(time_s)} {', '.join(shown)}."


def _spread(metric: Metric, point: Mapping[str, Any]) -> str:
    if point["repeats"] == 1:
        return " (one chip)"
    ends = point["ci95_adaptive"] or point["ci95"]
    if ends is None:
        return f" ({point['repeats']} chips)"
    low, high = (_value(metric, end).removesuffix(" %") for end in metric.within_limits(ends))
    return f" (95 % interval {low} to {high} over {point['repeats']} chips)"


def _holding(found: Found, threshold: Threshold, facts: dict[str, Any]) -> str:
    """Say when the median chip falls below the threshold, and how many chips hold it."""
    bound = _bound(threshold)
    falls, fall = ("Falls", "fall below") if threshold.metric.higher_is_better else ("Rises", "rise above")
    alive = [one for one in found.lives if one.chips]
    if not alive:
        return f"No chip has been evaluated at all times yet, to see it {fall} {bound}."
    what = f"{fall} {bound}{_origin(threshold)}"
    if all(one.time_to_threshold_s.censored is Censored.ABOVE for one in alive):
        names = ", ".join(one.variant for one in alive)
        sentence = f"Does not {what} within {in_words(alive[0].times_s[-1])} ({names})"
    else:
        times = ", ".join(f"{_time_words(one)} ({one.variant})" for one in alive)
        sentence = f"{falls}{what.removeprefix(fall.split()[0])} {times}"
    life = max(alive, key=_preference)
    if len(life.chips) < FEWEST_CHIPS_FOR_A_SHARE:
        return sentence + "; fewer than 10 chips were evaluated, so no share of chips is given."
    horizon_s = min(max(MONTH_S, life.times_s[0]), life.times_s[-1])
    holding = life.holding(horizon_s)
    facts["holding"] = {
        "variant": life.variant,
        "t_inference": horizon_s,
        "chips": holding,
        "of": len(life.chips),
    }
    variant = f" ({life.variant})" if len(found.lives) > 1 else ""
    hold = "holds" if holding == 1 else "hold"
    share = f"{holding} of {len(life.chips)} chips {hold} {bound}"
    span = f"for {_article(in_words(horizon_s))}" if horizon_s > 0 else "right after programming"
    return f"{sentence}; {share} {span}{variant}.{_available(life, threshold, facts)}"


def _available(life: Life, threshold: Threshold, facts: dict[str, Any]) -> str:
    """Say how many chips in service are good at the last time, whatever they were before."""
    if life.in_service is None:
        return ""
    available, last_s = life.in_service.last, life.times_s[-1]
    again = available - life.holding(last_s)
    facts["available"] = {
        "variant": life.variant,
        "t_inference": last_s,
        "chips": available,
        "again": again,
        "of": len(life.chips),
    }
    side = "at or above" if threshold.metric.higher_is_better else "at or below"
    verb = "is" if available == 1 else "are"
    share = f"{available} of {len(life.chips)} {verb} {side} {_bound(threshold)}"
    back = f", {again} of them again after a fall" if again else ""
    return f" {_after_programming(last_s)}, {share}{back}."


def _article(duration: str) -> str:
    """Return `1 month` as `a month`."""
    if not duration.startswith("1 "):
        return duration
    return f"{'an' if duration == '1 hour' else 'a'}{duration[1:]}"


def _time_words(life: Life) -> str:
    median = life.time_to_threshold_s
    if median.censored is Censored.ABOVE:
        return f"not within {in_words(life.times_s[-1])}"
    if median.censored is Censored.BELOW or median.median is None:
        first = _after_programming(life.times_s[0])
        return f"already {first[0].lower()}{first[1:]}"
    return f"after about {in_words(median.median)}"


def _preference(life: Life) -> int:
    return (Variant.CONTROL, Variant.DIRECT, Variant.HWA).index(Variant(life.variant))


def _cautions(found: Found) -> list[str]:
    """Say where the result rests on little."""
    fewest = min((point["repeats"] for one in found.answer["series"] for point in one["points"]), default=0)
    if fewest == 1:
        return ["One chip was evaluated: how much chips differ is not known."]
    if fewest < FEWEST_CHIPS_FOR_A_SHARE:
        return [f"{fewest} chips were evaluated, fewer than 10: intervals and medians are rough."]
    return []


def _waves(found: Found) -> list[str]:
    """Say whether the chips that came in waves were enough, where the job has ended with them."""
    until = found.answer["repeats_until"]
    if until is None or found.state != "succeeded":
        return []
    judged = [
        (one["variant"], point)
        for one in found.answer["series"]
        for point in one["points"]
        if point["goal_reached"] is not None
    ]
    if not judged:
        return []
    variant, widest = max(judged, key=lambda one: _half(one[1]))
    goal, chips = _width(found.metric, until["until_ci95"]), widest["repeats"]
    if widest["goal_reached"]:
        return [f"Chips came in waves until the mean was known to ± {goal}; {chips} chips were enough."]
    after = _after_programming(widest["t_inference"])
    sentence = (
        f"The job asked to know the mean to ± {goal}, and stopped at {chips} chips, the most that it allows:"
        f" {after[0].lower()}{after[1:]} the mean of {variant} is known to"
        f" ± {_width(found.metric, _half(widest))}."
    )
    return [sentence]


def _half(point: Mapping[str, Any]) -> float:
    low, high = point["ci95_adaptive"]
    return (float(high) - float(low)) / 2


def _width(metric: Metric, half: float) -> str:
    """Return half an interval's width; of an accuracy in points."""
    return f"{100 * half:.2g} points" if metric is Metric.ACCURACY else f"{half:.3g}"


def _cost(cost: Mapping[str, Any], facts: dict[str, Any]) -> str:
    """Say what an inference costs, with the bands of the estimates."""
    facts["cost"] = {name: cost[name] for name in ("profile", "energy_j", "latency_s", "area_mm2")}
    area = "" if cost["area_mm2"] is None else f" on {band(cost['area_mm2'], 'mm²')}"
    return (
        f"By the profile {cost['profile']}, an inference is estimated to cost {band(cost['energy_j'], 'J')}"
        f" and to take {band(cost['latency_s'], 's')}{area}."
    )


def _unfinished(found: Found) -> list[str]:
    """Say that the numbers are not the last, if so."""
    if found.state == "succeeded":
        return []
    if found.state in ("failed", "cancelled"):
        what = "was cancelled" if found.state == "cancelled" else "failed"
        return [f"The job {what} after {found.cells_done} of {found.cells_total} cells."]
    return [f"So far {found.cells_done} of {found.cells_total} cells are evaluated."]


def _nearest(times_s: Sequence[float], wanted_s: float) -> float:
    """Return the time that is nearest on a logarithmic axis, the earlier of two."""
    return min(times_s, key=lambda time_s: abs(math.log(max(time_s, 1e-3) / wanted_s)))


def _after_programming(time_s: float) -> str:
    if time_s == 0:
        return "Right after programming"
    words = in_words(time_s)
    return f"{'One' + words[1:] if words.startswith('1 ') else words} after programming"


def _value(metric: Metric, value: float | None) -> str:
    if value is None:
        return "not finite"
    return f"{100 * value:.1f} %" if metric is Metric.ACCURACY else f"{value:.4g}"


def _bound(threshold: Threshold) -> str:
    """Return the threshold as it was asked for: to two digits behind the point of a percentage."""
    if threshold.metric is not Metric.ACCURACY:
        return f"{threshold.value:.4g}"
    return f"{100 * threshold.value:.2f}".rstrip("0").rstrip(".") + " %"


def _origin(threshold: Threshold) -> str:
    if not threshold.is_default:
        return ""
    if threshold.metric.higher_is_better:
        return f" ({100 * DEFAULT_DROP:g} point below digital)".replace("(1 point", "(one point")
    return f" ({100 * (DEFAULT_FACTOR - 1):.0f} % more than digital)"
