"""A bar while somebody waits: with rich on a terminal, as HTML in a notebook, nowhere else."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from driftline.words import doing

if TYPE_CHECKING:
    from rich.console import Console

_BETWEEN_DRAWINGS_S: Final = 0.2


class Bar(ABC):
    """Shows how far something is."""

    def update(self, job: Mapping[str, Any]) -> None:
        """Show how far a job is."""
        self.show(job["progress"]["fraction"], doing(job), done=job["state"] == "succeeded")

    @abstractmethod
    def show(self, fraction: float, text: str, *, done: bool = False) -> None:
        """Show a share of the work, 0 to 1, and what is being done."""

    @abstractmethod
    def close(self) -> None:
        """Leave the bar as it is."""


class NoBar(Bar):
    """Shows nothing."""

    def show(self, fraction: float, text: str, *, done: bool = False) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Leave nothing."""


class TerminalBar(Bar):
    """A bar of rich, on standard error, so that output stays clean."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        text = TextColumn("{task.description}", markup=False)
        columns = (text, BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task("asking", total=1.0)
        self._progress.start()

    def show(self, fraction: float, text: str, *, done: bool = False) -> None:
        """Draw the bar."""
        self._progress.update(self._task, completed=1.0 if done else fraction, description=text)

    def close(self) -> None:
        """Stop drawing; the last state stays on the terminal."""
        self._progress.stop()


class NotebookBar(Bar):
    """A bar of HTML that needs no widget, so that it is still there when the file is opened again."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._handle = display(HTML(""), display_id=True)
        self._last: tuple[int, str] | None = None
        self._drawn_at = -_BETWEEN_DRAWINGS_S
        self._pending: tuple[float, str] | None = None

    def show(self, fraction: float, text: str, *, done: bool = False) -> None:
        """Draw the bar, a few times a second at most."""
        fraction = 1.0 if done else fraction
        self._pending = (fraction, text)
        if done or time.monotonic() - self._drawn_at >= _BETWEEN_DRAWINGS_S:
            self._draw()

    def close(self) -> None:
        """Draw what was not drawn yet."""
        self._draw()

    def _draw(self) -> None:
        from driftline import html

        if self._pending is None:
            return
        fraction, text = self._pending
        self._pending = None
        self._drawn_at = time.monotonic()
        if self._handle is not None and (round(100 * fraction), text) != self._last:
            self._last = (round(100 * fraction), text)
            self._handle.update(self._html(html.bar(fraction, text)))


@contextmanager
def shown(*, wanted: bool) -> Iterator[Bar]:
    """Yield the bar that fits where this runs, or one that shows nothing."""
    bar = _fitting() if wanted else NoBar()
    try:
        yield bar
    finally:
        bar.close()


def _fitting() -> Bar:
    if _in_notebook():
        return NotebookBar()
    if sys.stderr is not None and sys.stderr.isatty():
        try:
            from rich.console import Console
        except ModuleNotFoundError:
            return NoBar()
        return TerminalBar(Console(stderr=True))
    return NoBar()


def _in_notebook() -> bool:
    """Tell whether a notebook's kernel runs this; IPython is not imported for the question."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")
