"""Figures as files: the same figure gives the same bytes, and text stays text."""

from __future__ import annotations

import io
import textwrap
import threading
import unicodedata
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 80  # of a title's line
_BOX = "\u25a1"
_UNPRINTABLE = ("Cc", "Cs", "Cn", "Co")
_INVISIBLE = ("Mn", "Me", "Cf")  # marks that only change what is beside them
_RC = {
    "svg.hashsalt": "driftline",  # ids in an SVG are the same each time
    "svg.fonttype": "none",  # text stays text, in whatever font of the reader's has its characters
}
_RC_LOCK = threading.Lock()  # matplotlib's settings are the whole process's
# What a figure's font lacks is drawn as boxes; the reader's fonts may have it, so an SVG has it as it was.
_WRITTEN: WeakKeyDictionary[Figure, list[tuple[str, str]]] = WeakKeyDictionary()


def to_bytes(figure: Figure, file_format: str) -> bytes:
    """Return a figure as a file.

    Args:
        figure: of this package.
        file_format: what matplotlib writes: `svg`, `png`, `pdf`.
    """
    from matplotlib import rc_context

    buffer = io.BytesIO()
    # Nothing in the file says when it was drawn: the same results give the same bytes.
    metadata: dict[str, Any] = {"svg": {"Date": None}, "png": {"Software": None}}.get(
        file_format, {"CreationDate": None}
    )
    with _RC_LOCK, rc_context(_RC):
        figure.savefig(buffer, format=file_format, dpi=144, metadata=metadata)
    picture = buffer.getvalue()
    if file_format == "svg":
        for text, shown in _WRITTEN.get(figure, ()):
            picture = picture.replace(
                f">{escape(shown)}</text>".encode(), f">{escape(text)}</text>".encode(), 1
            )
    return picture


def set_title(figure: Figure, title: str) -> None:
    """Write a title over a figure, in at most two lines."""
    text = "\n".join(drawable(figure, line) for line in _lines(title))
    if len(figure.axes) == 1:
        figure.axes[0].set_title(text, fontsize=11, parse_math=False)
    elif text:
        figure.suptitle(text, fontsize=11, parse_math=False)


def drawable(figure: Figure, text: str) -> str:
    """Return a text with a box for each character that the font lacks, rather than with none."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    plain = "".join("\ufffd" if unicodedata.category(one) in _UNPRINTABLE else one for one in text)
    drawn = ("" if unicodedata.category(one) in _INVISIBLE else _BOX for one in plain)
    shown = "".join(one if ord(one) in known else box for one, box in zip(plain, drawn, strict=True))
    if shown != plain:
        _WRITTEN.setdefault(figure, []).append((plain, shown))
    return shown


def _lines(title: str) -> list[str]:
    """Return a title in at most two lines that fit."""
    plain = "".join("\ufffd" if unicodedata.category(one) in _UNPRINTABLE else one for one in title)
    is_wide = any(unicodedata.east_asian_width(one) in ("W", "F") for one in plain)
    columns = _COLUMNS // 2 if is_wide else _COLUMNS
    return textwrap.wrap(plain, columns, max_lines=2, placeholder=" …") or [""]
