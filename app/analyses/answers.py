"""The answer of each type of analysis: as JSON, as a table, as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.analyses import advice, error_budget, layer_sensitivity, maintenance_plan
from app.analyses.asked import Asked
from app.analyses.schemas import AnalysisView
from app.results.tabular import Column, Row
from driftline import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Answer:
    """How an analysis is answered.

    Attributes:
        view: what is found, as JSON has it.
        columns: of its rows as a table; estimates are three columns each, by `estimate_columns`.
        draw: the picture of what JSON has.
    """

    view: Callable[[Asked], AnalysisView]
    columns: Sequence[Column]
    draw: Callable[[Mapping[str, Any], str], Figure]


_VARIANT: Final = Column("variant", "text", "direct, hwa or control")
_TIME: Final = Column("t_inference", "real", "s after programming")
_REPEATS: Final = Column("repeats", "integer", "chips that the row rests on")


def _estimates(*names: tuple[str, str]) -> Iterator[Column]:
    for name, meaning in names:
        yield Column(f"{name}_mean", "real", f"{meaning}, mean over chips")
        yield Column(f"{name}_ci95_low", "real", f"{meaning}, Student's t interval over chips, lower end")
        yield Column(f"{name}_ci95_high", "real", f"{meaning}, Student's t interval over chips, upper end")


ANSWERS: Final[Mapping[str, Answer]] = {
    "advice": Answer(
        advice.view,
        (
            _VARIANT,
            _TIME,
            Column("layer", "text", "name of the layer; empty for the whole network"),
            Column("field", "text", "field of the RPU configuration"),
            Column("from", "text", "its value in the job, as JSON"),
            Column("to", "text", "the advised value, as JSON"),
            Column("expected_gain", "real", "what the metric wins on training batches and one chip"),
            Column("expected_gain_db", "real", "what the signal-to-noise ratio wins, dB"),
            *_estimates(("verified_gain", "what the metric wins on the test set")),
            _REPEATS,
        ),
        plots.advice,
    ),
    "error_budget": Answer(
        error_budget.view,
        (
            _VARIANT,
            _TIME,
            Column("group", "text", "group of effects"),
            Column("on", "text", "whether the configuration has it"),
            *_estimates(
                ("alone", "lost with this group alone"),
                ("without", "won back without this group"),
                ("share", "Shapley share of the loss"),
            ),
            _REPEATS,
        ),
        plots.error_budget,
    ),
    "layer_sensitivity": Answer(
        layer_sensitivity.view,
        (
            _VARIANT,
            _TIME,
            Column("layer", "text", "name of the layer"),
            Column("mode", "text", "one_analog: it alone is analog; one_digital: it alone is digital"),
            *_estimates(("loss", "lost against digital"), ("won_back", "won back with it digital")),
            Column("snr_db", "real", "signal-to-noise ratio of the layer, dB"),
            Column("devices_share", "real", "share of the devices on tiles"),
            Column("macs_share", "real", "share of the multiply-accumulates on tiles"),
            _REPEATS,
        ),
        plots.layer_sensitivity,
    ),
    "maintenance_plan": Answer(
        maintenance_plan.view,
        (
            _VARIANT,
            Column("t_inference", "real", "the horizon, s after programming"),
            Column("do", "text", "what is done to chips"),
            Column("interval_s", "real", "s from one service to the next"),
            Column("share", "real", "share of chips that hold the target"),
            Column("ci95_low", "real", "Wilson interval for the finite number of chips, lower end"),
            Column("ci95_high", "real", "Wilson interval for the finite number of chips, upper end"),
            Column("chips", "integer", "chips that the row rests on"),
        ),
        plots.maintenance_plan,
    ),
}


def table_rows(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield an answer's rows as a table has them: an estimate `x` is `x_mean`, `x_ci95_low` and so on."""
    names = [column.name for column in columns]
    for row in rows:
        flat: dict[str, Any] = dict.fromkeys(names)
        for name, value in row.items():
            if isinstance(value, Mapping) and "ci95" in value:
                low, high = value["ci95"] or (None, None)
                flat |= {
                    f"{name}_mean": value["mean"], f"{name}_ci95_low": low, f"{name}_ci95_high": high,
                    "repeats": value["repeats"],
                }  # fmt: skip
            elif name == "ci95":
                flat |= {"ci95_low": value[0], "ci95_high": value[1]}
            elif name in ("from", "to") or isinstance(value, bool):
                flat[name] = json.dumps(value)
            elif name in flat and value is not None:
                flat[name] = value
        yield flat
