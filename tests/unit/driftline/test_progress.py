from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import IPython.display
import pytest
from rich.console import Console

from driftline import progress

JOB = {"state": "running", "phase": "evaluate", "progress": {"fraction": 0.5}}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_shown_where_nobody_sees_it(capsys):
    with progress.shown(wanted=True) as bar:
        bar.update(JOB)
    assert isinstance(bar, progress.NoBar)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar_on_standard_error(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.shown(wanted=True) as bar:
        bar.update(JOB)
    assert "evaluating chips" in terminal.getvalue()
    assert "50%" in terminal.getvalue()


def test_a_finished_job_fills_the_bar():
    terminal = Terminal()
    bar = progress.TerminalBar(Console(file=terminal, force_terminal=True))
    bar.update({**JOB, "state": "succeeded"})
    bar.close()
    assert "100%" in terminal.getvalue()


def test_progress_can_be_turned_off(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.shown(wanted=False) as bar:
        bar.update(JOB)
    assert sys.stderr.getvalue() == ""


@pytest.fixture
def drawn(monkeypatch):
    """What a notebook shows: the HTML of the display, each time that it is renewed."""
    shown: list[str] = []
    handle = SimpleNamespace(update=lambda html: shown.append(html.data))
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr(IPython.display, "display", lambda html, display_id: handle)
    return shown


def test_a_notebook_has_a_bar_of_html(drawn):
    with progress.shown(wanted=True) as bar:
        bar.update(JOB)
        bar.update({**JOB, "state": "succeeded"})
    assert 'aria-valuenow="50"' in drawn[0]
    assert 'aria-valuenow="100"' in drawn[-1]
    assert not any("widget" in html for html in drawn)


def test_a_notebook_is_not_flooded(drawn):
    with progress.shown(wanted=True) as bar:
        for step in range(1000):
            bar.show(step / 1000, "evaluating chips")
    assert len(drawn) < 20
    assert 'aria-valuenow="100"' in drawn[-1]


def test_a_shell_of_ipython_is_a_terminal(monkeypatch):
    monkeypatch.setattr(IPython, "get_ipython", SimpleNamespace)
    with progress.shown(wanted=True) as bar:
        assert isinstance(bar, progress.NoBar)
