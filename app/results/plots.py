"""The accuracy-over-time picture, as SVG or PNG."""

from __future__ import annotations

import io
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from simulator.config.tasks import QUANTITIES

# Okabe and Ito's colours: every kind of eye distinguishes them.
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


_COLUMNS = 80  # of a title's line
_BOX = "\u25a1"
_UNPRINTABLE = ("Cc", "Cs", "Cn", "Co")
_INVISIBLE = ("Mn", "Me", "Cf")  # marks that only change what is beside them


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
    rcParams["svg.fonttype"] = "none"  # text stays text, in whatever font of the reader's has its characters
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
        half = [0.0 if p["ci95"] is None else factor * (p["ci95"][1] - p["mean"]) for p in points]
        upper = [min(size, 100.0 - m) for size, m in zip(half, mean, strict=True)] if accuracy else half
        axes.errorbar(
            x, mean, yerr=[half, upper], color=colour, marker="o", markersize=4, capsize=3,
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
    axes.set_ylabel(QUANTITIES[results["metric"]].meaning + (" (%)" if accuracy else ""))
    lines = _lines(title)
    drawn = [_drawable(line) for line in lines]
    axes.set_title("\n".join(drawn), fontsize=11, parse_math=False)
    if accuracy:
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, 0.0), min(top, 100.0))
    axes.grid(visible=True, color="0.9")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
    axes.annotate(
        "bars: 95 % interval of the mean over chips; bands: 5 to 95 % of chips", (0, 0), (0, -42),
        xycoords="axes fraction", textcoords="offset points", fontsize=7, color="0.4",
    )  # fmt: skip
    buffer = io.BytesIO()
    # Nothing in the file says when it was drawn: the same results give the same bytes.
    metadata = {"Date": None} if file_format == "svg" else {"Software": None}
    figure.savefig(buffer, format=file_format, dpi=144, metadata=metadata)
    picture = buffer.getvalue()
    if file_format == "svg":
        for line, shown in zip(lines, drawn, strict=True):
            # The reader's fonts may have what this machine's lack.
            picture = picture.replace(
                f">{escape(shown)}</text>".encode(), f">{escape(line)}</text>".encode(), 1
            )
    return picture


def _lines(title: str) -> list[str]:
    """Return a title in at most two lines that fit, without characters that no file holds."""
    plain = "".join("\ufffd" if unicodedata.category(one) in _UNPRINTABLE else one for one in title)
    is_wide = any(unicodedata.east_asian_width(one) in ("W", "F") for one in plain)
    columns = _COLUMNS // 2 if is_wide else _COLUMNS
    return textwrap.wrap(plain, columns, max_lines=2, placeholder=" …") or [""]


def _drawable(text: str) -> str:
    """Return a text with a box for each character that the font lacks, rather than with none."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    drawn = ("" if unicodedata.category(one) in _INVISIBLE else _BOX for one in text)
    return "".join(one if ord(one) in known else box for one, box in zip(text, drawn, strict=True))


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
