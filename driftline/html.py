"""Records as HTML for notebooks. Everything is escaped; colours come from the notebook, light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from driftline.times import in_table
from driftline.words import doing, interval_of, interval_of_mean, number, place, shape, signed, sizes

_BORDER: Final = "border-bottom:1px solid rgba(128,128,128,.35)"
_CELL: Final = f"padding:.2em .8em .2em 0;text-align:left;background:none;{_BORDER}"
_NUMBER: Final = f"padding:.2em 0 .2em .8em;text-align:right;background:none;{_BORDER}"
_FAINT: Final = "opacity:.7"
_MOST_ROWS: Final = 40
_ACCENT: Final = "#3b82c4"


def bar(fraction: float, text: str) -> str:
    """Return a bar with a text beside it."""
    percent = f"{100 * min(max(fraction, 0.0), 1.0):.0f}"
    track = "display:inline-block;width:16em;height:.7em;border-radius:.35em;background:rgba(128,128,128,.3)"
    filled = f"display:block;width:{percent}%;height:100%;border-radius:.35em;background:{_ACCENT}"
    return (
        f'<div role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-label="{escape(text)}"><span style="{track}"><span style="{filled}"></span></span> '
        f"{percent} % {escape(text)}</div>"
    )


def model(one: Mapping[str, Any]) -> str:
    """Return a model: what it is, and where each layer is computed."""
    facts = f"{one['parameters']:,} parameters, {shape(one['inputs'])} to {shape(one['outputs'])}"
    layers = [
        [layer["name"], layer["op"], sizes(layer.get("weight_shape")), place(layer)]
        for layer in one["layers"]
    ]
    return _block("Model", one["name"], one["id"], facts) + _table(
        ("layer", "operation", "weights", "computed"), layers
    )


def dataset(one: Mapping[str, Any]) -> str:
    """Return a dataset: how many samples of which shape."""
    classes = f", {one['classes']} classes" if one.get("classes") else ""
    facts = f"{one['train_size']:,} samples for training, {one['test_size']:,} for testing{classes}"
    inputs = [[part["name"], part["dtype"], sizes(part["shape"])] for part in one["inputs"]]
    return _block("Dataset", one["name"], one["id"], facts) + _table(("input", "type", "shape"), inputs)


def job(one: Mapping[str, Any]) -> str:
    """Return a job: its state, how far it is, and why it failed if it did."""
    state = one["state"]
    fraction = 1.0 if state == "succeeded" else one["progress"]["fraction"]
    parts = [_block("Job", one.get("name") or "", one["id"], ""), bar(fraction, doing(one))]
    failure = one.get("failure")
    if failure:
        parts.append(f"<div>{escape(failure['message'])} <code>{escape(failure['code'])}</code></div>")
    warnings = one.get("warnings") or []
    if warnings:
        told = "".join(f"<li>{escape(str(warning.get('message', warning)))}</li>" for warning in warnings)
        parts.append(f'<div style="{_FAINT}">Warnings:<ul style="margin:0">{told}</ul></div>')
    return "".join(parts)


def results(one: Mapping[str, Any]) -> str:
    """Return results: a row per variant and time, with the interval of the mean."""
    metric = one["metric"]
    digital = ", ".join(
        f"{name} {number(baseline[metric], metric)}"
        for name, baseline in one["baseline"].items()
        if baseline.get(metric) is not None
    )
    state = "" if one["complete"] else "So far. "
    facts = f"{state}{metric.capitalize()} over chips" + (
        f"; in floating point: {digital}" if digital else ""
    )
    rows = [
        [
            series["variant"],
            in_table(point["t_inference"]),
            str(point["repeats"]),
            number(point["mean"], metric),
            interval_of_mean(point, metric),
        ]
        for series in one["series"]
        for point in series["points"]
    ]
    header = ("variant", "time", "chips", "mean", "95 % interval")
    return _block("Results", "", f"job {one['job']}", facts) + _table(header, rows, numbers=4)


def summary(one: Mapping[str, Any]) -> str:
    """Return a job's answer in words: the headline, and what else there is to say."""
    rest = [sentence for sentence in one["sentences"] if sentence not in one["headline"]]
    more = f'<div style="{_FAINT}">{escape(" ".join(rest))}</div>' if rest else ""
    return f"<div><b>{escape(one['headline'])}</b></div>{more}"


def comparison(one: Mapping[str, Any]) -> str:
    """Return jobs side by side: each job's mean, and its difference from the first."""
    metric = one["metric"]
    names = {compared["id"]: compared["name"] or compared["id"] for compared in one["jobs"]}
    rows = []
    for point in one["points"]:
        differences = {difference["job"]: difference for difference in point["differences"]}
        for job_id, found in point["points"].items():
            against = differences.get(job_id, {})
            rows.append(
                [
                    names[job_id],
                    point["variant"],
                    in_table(point["t_inference"]),
                    number(found["mean"], metric),
                    signed(against["mean"], metric) if against else "",
                    interval_of(against, metric) if against else "",
                ]
            )
    header = ("job", "variant", "time", "mean", "against the first", "95 % interval")
    return _block("Comparison", "", "", metric.capitalize()) + _table(header, rows, numbers=3)


def _block(kind: str, name: str, identity: str, facts: str) -> str:
    title = f" <b>{escape(name)}</b>" if name else ""
    code = f' <code style="{_FAINT};background:none">{escape(identity)}</code>' if identity else ""
    told = f"<div>{escape(facts)}</div>" if facts else ""
    return f"<div>{escape(kind)}{title}{code}</div>{told}"


def _table(header: Iterable[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """Return a table whose last columns, `numbers` of them, are aligned as numbers."""
    names = list(header)
    styles = [_CELL] * (len(names) - numbers) + [_NUMBER] * numbers
    head = "".join(
        f'<th scope="col" style="{style}">{escape(name)}</th>'
        for name, style in zip(names, styles, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{style}">{escape(cell)}</td>' for cell, style in zip(row, styles, strict=True))
        + "</tr>"
        for row in rows[:_MOST_ROWS]
    )
    left_out = len(rows) - _MOST_ROWS
    more = f'<div style="{_FAINT}">and {left_out:,} more rows</div>' if left_out > 0 else ""
    table = (
        f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )
    return table + more
