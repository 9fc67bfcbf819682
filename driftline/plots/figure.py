"""A figure that notebooks show."""

from __future__ import annotations

from matplotlib.figure import Figure

from driftline.plots import files


class ShownFigure(Figure):
    """A figure that a notebook shows when a cell ends in it, whichever backend of matplotlib is on."""

    def _repr_png_(self) -> bytes:
        return files.to_bytes(self, "png")
