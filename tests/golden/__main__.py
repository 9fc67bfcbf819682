"""`python -m tests.golden DIR`: run every case of a directory, one line each; exit 1 if any fails."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

from tests.golden.common import Case, Section, Status, Verdict, fail, load_sections
from tests.golden.kinds import CHECKS


def _run(case: Case, section: Section) -> Verdict:
    check = CHECKS.get(case["kind"])
    if check is None:
        return fail(f"no check for kind {case['kind']!r}")
    try:
        return check(case, section.arrays)
    except Exception as error:  # noqa: BLE001 - a case that crashes is a failed case, and the others still run
        return fail(f"{type(error).__name__}: {error}")


def main(arguments: list[str]) -> int:
    """Run all cases of the directory named; print id, figure, tolerance and verdict, then the counts."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python -m tests.golden DIRECTORY\n")
        return 2
    sections = load_sections(Path(arguments[0]))
    if not any(section.cases for section in sections):
        sys.stderr.write(f"no cases in {arguments[0]}\n")
        return 2
    counts: Counter[Status] = Counter()
    quirks: Counter[int] = Counter()
    started = time.monotonic()
    for section in sections:
        for case in section.cases:
            verdict = _run(case, section)
            counts[verdict.status] += 1
            if verdict.status is Status.DEVIATES and verdict.quirk is not None:
                quirks[verdict.quirk] += 1
            sys.stdout.write(f"{case['id']}  {verdict}\n")
            sys.stdout.flush()
    seconds = time.monotonic() - started
    sys.stdout.write(
        f"{counts.total()} cases in {seconds:.0f} s: "
        + ", ".join(f"{counts[status]} {status.value}" for status in Status)
        + "\n"
    )
    for quirk, count in sorted(quirks.items()):
        sys.stdout.write(f"quirk {quirk}: {count}\n")
    return 1 if counts[Status.FAIL] else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
