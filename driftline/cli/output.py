"""What commands print: tables and sentences for people, JSON for programs, complaints on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from driftline.core.plain import plain

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

_WIDE: Final = 10_000


def console() -> Console:
    """Return where people read; what is not a terminal gets whole lines, however long."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[str] = (), empty: str = ""
) -> None:
    """Print a table; columns named in `numbers` are aligned to the right.

    Args:
        columns: the header.
        rows: a text for each column.
        numbers: names of columns.
        empty: what is said instead of a table without rows.
    """
    from rich.table import Table
    from rich.text import Text

    found = list(rows)
    if not found and empty:
        note(empty)
        return
    right = set(numbers)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=number == 0 or column in right,
            overflow="fold",
        )
    for row in found:
        table.add_row(*(Text(cell) for cell in row))
    out = console()
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def say(text: str) -> None:
    """Print a sentence as a result."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """Print a sentence that is not a result, on standard error."""
    sys.stderr.write(f"{text}\n")


def complain(error: Exception) -> None:
    """Print an error as people read it."""
    sys.stdout.flush()
    note(f"driftline: {error}")


def ago(moment: str | None) -> str:
    """Return how long ago a moment was, such as "5 min ago"."""
    if moment is None:
        return ""
    passed_s = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed_s >= length_s:
            return f"{passed_s // length_s:.0f} {unit} ago"
    return f"{max(passed_s, 0):.0f} s ago"


def warn(warnings: Iterable[Mapping[str, Any]]) -> None:
    """Print warnings on standard error."""
    for one in warnings:
        where = f"{one['pointer']}: " if one.get("pointer") else ""
        note(f"warning: {where}{one.get('message', one)}")
