"""`python -m tests.golden DIR`: run every case of a directory, one line each.

The last line has the counts. Exits with 1 if a case fails or a file of cases cannot be read; with 2 if there is
nothing to run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.golden.common import Section, Status, Verdict, fail, load_section
from tests.golden.kinds import CHECKS


def _run(case: Any, section: Section) -> Verdict:
    try:
        check = CHECKS.get(case["kind"])
        if check is None:
            return fail(f"no check for kind {case['kind']!r}")
        return check(case, section.arrays)
    except Exception as error:  # noqa: BLE001 - a case that crashes is a failed case, and the others still run
        return fail(f"{type(error).__name__}: {error}")


def _verdicts(directory: Path) -> Iterator[tuple[str, Verdict]]:
    """Yield every case's name and verdict; a file that cannot be read is one failure."""
    for path in sorted(directory.glob("*.json")):
        try:
            section = load_section(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            yield path.name, fail(f"cannot be read: {type(error).__name__}: {error}")
            continue
        for number, case in enumerate(section.cases):
            name = case.get("id") if isinstance(case, dict) else None
            yield str(name or f"{path.name}[{number}]"), _run(case, section)


def label(verdict: Verdict) -> str:
    """Name a verdict, as the counts do."""
    return f"deviates (quirk {verdict.quirk})" if verdict.status is Status.DEVIATES else verdict.status.value


def main(arguments: list[str]) -> int:
    """Run all cases of the directory named; print id, figure, tolerance and verdict, then the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("directory", type=Path)
    options = parser.parse_args(arguments)
    counts: Counter[str] = Counter({Status.MATCH.value: 0, Status.FAIL.value: 0})
    started = time.monotonic()
    for name, verdict in _verdicts(options.directory):
        counts[label(verdict)] += 1
        sys.stdout.write(f"{name}  {verdict}\n")
        sys.stdout.flush()
    if not counts.total():
        sys.stderr.write(f"no cases in {options.directory}\n")
        return 2
    ordered = dict(sorted(counts.items(), key=lambda item: (len(item[0]), item[0])))
    listed = ", ".join(f"{count} {label}" for label, count in ordered.items())
    sys.stdout.write(f"{counts.total()} cases in {time.monotonic() - started:.0f} s: {listed}\n")
    return 1 if counts[Status.FAIL.value] else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
