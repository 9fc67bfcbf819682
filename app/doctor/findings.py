"""What the doctor finds, and how it is printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: its name, such as `database`.
        verdict: how it is.
        found: what was found, in words.
        advice: what to do; empty where nothing is to be done.
    """

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


def ok(what: str, found: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(what, Verdict.OK, found)


def warning(what: str, found: str, advice: str) -> Finding:
    """Return that something works and is not as it should be."""
    return Finding(what, Verdict.WARNING, found, advice)


def fault(what: str, found: str, advice: str) -> Finding:
    """Return that something does not work."""
    return Finding(what, Verdict.FAULT, found, advice)


def as_text(findings: Sequence[Finding]) -> str:
    """Return the findings as lines for people, and a sentence that counts them."""
    width = max((len(one.what) for one in findings), default=0)
    lines = []
    for one in findings:
        lines.append(f"{one.verdict:<8} {one.what:<{width}}  {one.found}")
        if one.advice:
            lines.append(f"{'':<8} {'':<{width}}  -> {one.advice}")
    counts = {verdict: sum(one.verdict is verdict for one in findings) for verdict in Verdict}
    faults, warnings = counts[Verdict.FAULT], counts[Verdict.WARNING]
    if not faults and not warnings:
        lines.append("Nothing is wrong.")
    else:
        lines.append(f"{_counted(faults, 'fault')}, {_counted(warnings, 'warning')}.")
    return "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def as_json(findings: Sequence[Finding]) -> str:
    """Return the findings as JSON."""
    return json.dumps([asdict(one) for one in findings], indent=2)
