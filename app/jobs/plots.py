"""The accuracy-over-time picture, as SVG or PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

# Okabe and Ito's colours: told apart by every kind of eye.
_COLOURS = {"direct": "#D55E00", "hwa": "#0072B2", "control": "#009E73"}
_LABELS = {
    "direct": "programmed as it is",
    "hwa": "after HWA fine-tuning",
    "control": "after noise-free fine-tuning",
    "digital": "digital, as uploaded",
}
_TICKS = (
    (1.0, "1 s"), (60.0, "1 min"), (3600.0, "1 h"), (86400.0, "1 day"), (604800.0, "1 week"),
    (2592000.0, "1 month"), (31536000.0, "1 year"), (315360000.0, "10 years"),
)  # fmt: skip


_AXES = {"accuracy": "test accuracy (%)", "mse": "mean squared error", "perplexity": "perplexity"}


def draw(results: dict[str, Any], title: str, file_format: str) -> bytes:
    """Return the picture of results over time: mean over chips, its 95 % interval, 5 to 95 % of chips.

    Args:
        results: as the results endpoint answers them.
        title: the job's name.
        file_format: `svg` or `png`.
    """
    from matplotlib import rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rcParams["svg.hashsalt"] = "driftline"  # ids in an SVG are the same each time
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    accuracy = results["metric"] == "accuracy"
    factor = 100.0 if accuracy else 1.0
    times: list[float] = []
    for one in results["series"]:
        colour = _COLOURS[one["variant"]]
        points = [point for point in one["points"] if point["mean"] is not None]
        x = [_place(p["t_inference"]) for p in points]
        times += [p["t_inference"] for p in points]
        if points and all(p["p05"] is not None for p in points):
            low, high = ([factor * p[key] for p in points] for key in ("p05", "p95"))
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        mean = [factor * p["mean"] for p in points]
        errors = [[0.0 if p["ci95"] is None else factor * (p["ci95"][1] - p["mean"]) for p in points]] * 2
        axes.errorbar(
            x, mean, yerr=errors, color=colour, marker="o", markersize=4, capsize=3,
            label=_LABELS[one["variant"]],
        )  # fmt: skip
    digital = results["baseline"].get("digital", {}).get(results["metric"])
    if digital is not None:
        axes.axhline(
            factor * digital, color="0.3", linestyle="--", linewidth=1,
            label=_LABELS["digital"],
        )  # fmt: skip
    _label_times(axes, times)
    axes.set_xlabel("time after programming")
    axes.set_ylabel(_AXES[results["metric"]])
    axes.set_title(title, fontsize=11, parse_math=False)
    axes.grid(visible=True, color="0.9")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
    axes.annotate(
        "bars: 95 % interval of the mean over chips; bands: 5 to 95 % of chips", (0, 0), (0, -42),
        xycoords="axes fraction", textcoords="offset points", fontsize=7, color="0.4",
    )  # fmt: skip
    buffer = io.BytesIO()
    # Nothing in the file tells when it was drawn: the same results give the same bytes.
    metadata = {"Date": None} if file_format == "svg" else {"Software": None}
    figure.savefig(buffer, format=file_format, dpi=144, metadata=metadata)
    return buffer.getvalue()


def _place(t_inference_s: float) -> float:
    """Return where a time is drawn: a logarithmic axis has no zero, so earlier than 0.1 s is drawn there."""
    return max(t_inference_s, 0.1)


def _label_times(axes: Any, times: Sequence[float]) -> None:
    if not times:
        return
    axes.set_xscale("log")
    first, last = _place(min(times)), _place(max(times))
    ticks = [(value, label) for value, label in _TICKS if first / 2 <= value <= last * 2]
    if min(times) < 0.1:
        ticks.insert(0, (0.1, "programmed"))
    axes.set_xticks([value for value, _ in ticks], [label for _, label in ticks])
    axes.minorticks_off()
    axes.set_xlim(first / 2, last * 2)
